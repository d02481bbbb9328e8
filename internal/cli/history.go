// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kaana/apikey-operator/api/v1alpha1"
	"github.com/kaana/apikey-operator/internal/apikey/kube"
)

// historyView is the part of the response to GET …/history that is printed.
type historyView struct {
	Recorded bool          `json:"recorded"`
	More     bool          `json:"more"`
	Items    []historyItem `json:"items"`
	Gaps     []struct {
		Since time.Time `json:"since"`
		Until time.Time `json:"until"`
	} `json:"gaps"`
}

type historyItem struct {
	At        time.Time `json:"at"`
	Operation string    `json:"operation"`
	Outcome   string    `json:"outcome"`
	Detail    string    `json:"detail"`
	Endpoint  string    `json:"endpoint"`
	Tool      string    `json:"tool"`
	Actor     *struct {
		Username string `json:"username"`
		Key      string `json:"key"`
	} `json:"actor"`
}

func (c *cli) history() *cobra.Command {
	var server serverFlags
	var format string
	cmd := &cobra.Command{
		Use:   "history NAME",
		Short: "Show who changed a key",
		Long: `Show who changed a key. The cluster knows which tool changed it last, and who created it. The server
has a record of each change over REST and the page, with its author. For that, give --server-url, and on
standard input a token that may see the key (scope activity:read). An admin's token also shows the history
of a key that was deleted.`,
		Example: `  kubectl apikey history billing
  kubectl apikey history billing --server-url=https://keys.example.com < admin-token`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := server.checkFormat(format); err != nil {
				return err
			}
			k8s, namespace, err := c.connect()
			if err != nil {
				return err
			}
			name := bareNames(args)[0]
			if server.url != "" {
				return c.serverHistory(cmd.Context(), server, "/api/keys/"+namespace+"/"+name+"/history", format)
			}
			o, err := get(cmd.Context(), k8s, namespace, name)
			if err != nil {
				return err
			}
			c.notef("From the cluster alone. " +
				"For changes over REST and the page give --server-url, and a token on standard input.")
			return c.printHistory(tracesOf(o))
		},
	}
	server.add(cmd)
	cmd.Flags().StringVarP(&format, "output", "o", formatTable, "table, or json: the response of the server")
	return cmd
}

// tracesOf returns what an ApiKey itself shows of its changes.
func tracesOf(o *v1alpha1.ApiKey) (out historyView) {
	out.Recorded = true // printHistory does not speak of the server's database
	for _, t := range kube.Traces(o) {
		item := historyItem{At: t.At, Operation: t.Operation, Endpoint: "kubernetes", Tool: t.Tool}
		author := t.Author
		if t.Operation == "issue" {
			item.Endpoint, author = "controller", "controller"
		}
		if author != "" {
			item.Actor = &struct {
				Username string `json:"username"`
				Key      string `json:"key"`
			}{Username: author}
		}
		out.Items = append(out.Items, item)
	}
	return out
}

// serverHistory prints what the server has recorded.
func (c *cli) serverHistory(ctx context.Context, server serverFlags, path, format string) error {
	var v historyView
	if printed, err := c.ask(ctx, server, path, format, &v); printed || err != nil {
		return err
	}
	return c.printHistory(v)
}

func (c *cli) printHistory(v historyView) error {
	if !v.Recorded {
		c.notef("Not recorded: the server has no database. Changes over REST and the page are in its log only.")
	}
	for _, g := range v.Gaps {
		c.notef("Changes between %s and %s may be missing: the database was unavailable.",
			g.Since.UTC().Format(time.RFC3339), g.Until.UTC().Format(time.RFC3339))
	}
	w := columns(c.Out)
	_, _ = fmt.Fprintln(w, "TIME\tOPERATION\tAUTHOR\tVIA\tDETAIL")
	for _, i := range v.Items {
		author, via := "not recorded", i.Endpoint
		if i.Actor != nil {
			author = i.Actor.Username
			if i.Actor.Key != "" && !strings.HasPrefix(author, "apikey:") {
				author += " (key " + i.Actor.Key + ")"
			}
		}
		if i.Tool != "" {
			via += " (" + i.Tool + ")"
		}
		operation := i.Operation
		if i.Outcome == "unknown" {
			operation += " (no answer from the cluster)"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", i.At.UTC().Format(time.RFC3339), operation, author, via, i.Detail)
	}
	if err := w.Flush(); err != nil {
		return err //nolint:wrapcheck // of our own output
	}
	if v.More {
		c.notef("Earlier changes are not shown.")
	}
	return nil
}
