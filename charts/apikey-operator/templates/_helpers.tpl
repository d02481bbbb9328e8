{{/* Names are fixed: the policies and the CRD are those of a cluster, so there is one installation in it. */}}

{{- define "apikey-operator.labels" -}}
app.kubernetes.io/name: apikey-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "apikey-operator.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag | default $.Chart.AppVersion }}{{ end }}
{{- end }}
{{- end }}

{{/* A file of config/, which the repository keeps a copy of in files/: with our labels, in the release's Namespace. */}}
{{- define "apikey-operator.file" -}}
{{- $labels := include "apikey-operator.labels" .root | fromYaml }}
{{- range regexSplit "(?m)^---$" (.root.Files.Get .file) -1 }}
{{- with . | replace "apikey-system" $.root.Release.Namespace | fromYaml }}
---
{{ mergeOverwrite . (dict "metadata" (mergeOverwrite .metadata (dict "labels" (merge (dict) (.metadata.labels | default dict) $labels)))) | toYaml }}
{{- end }}
{{- end }}
{{- end }}

{{/* The rules of one of the roles that the code asks for: what = cluster, those on what has no Namespace; namespaced, the rest. */}}
{{- define "apikey-operator.rules" -}}
{{- $found := list }}
{{- range regexSplit "(?m)^---$" (.root.Files.Get .file) -1 }}
{{- with fromYaml . }}
{{- if eq .kind $.kind }}
{{- range .rules }}
{{- $cluster := or (has "admissionregistration.k8s.io" .apiGroups) (has "namespaces" .resources) }}
{{- if and $cluster (has "namespaces" .resources) $.root.Values.watchNamespaces }}
{{- $_ := set . "resourceNames" $.root.Values.watchNamespaces }}
{{- end }}
{{- if or (eq $.what "all") (eq $.what (ternary "cluster" "namespaced" $cluster)) }}
{{- $found = append $found . }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- toYaml $found }}
{{- end }}

{{/* What both Deployments have in common, of .root and .of, the values of one. */}}
{{- define "apikey-operator.pod" -}}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  fsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- with .of.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .of.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .of.topologySpreadConstraints }}
topologySpreadConstraints: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .of.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- if .of.affinity }}
affinity: {{ toYaml .of.affinity | nindent 2 }}
{{- else }}
affinity:
  podAntiAffinity:
    preferredDuringSchedulingIgnoredDuringExecution:
    - weight: 100
      podAffinityTerm:
        topologyKey: kubernetes.io/hostname
        labelSelector: {matchLabels: {app.kubernetes.io/name: apikey-operator, app.kubernetes.io/component: {{ .component }}}}
{{- end }}
{{- end }}

{{- define "apikey-operator.container" -}}
image: {{ include "apikey-operator.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities: {drop: [ALL]}
{{- end }}

{{- define "apikey-operator.manyServers" -}}
{{- if or (gt (int .Values.server.replicas) 1) .Values.server.autoscaling.enabled }}true{{ end }}
{{- end }}

{{- define "apikey-operator.tlsSecret" -}}
{{ .Values.server.tls.existingSecret | default "apikey-operator-server-tls" }}
{{- end }}

{{- define "apikey-operator.ownCertificate" -}}
{{- if not (or .Values.server.tls.existingSecret .Values.server.tls.certManager.enabled) }}true{{ end }}
{{- end }}
