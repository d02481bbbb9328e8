# The image of a release, of a program that goreleaser has built.
FROM gcr.io/distroless/static:nonroot
ARG TARGETPLATFORM
COPY $TARGETPLATFORM/apikey-operator /apikey-operator
USER 65532:65532
ENTRYPOINT ["/apikey-operator"]
