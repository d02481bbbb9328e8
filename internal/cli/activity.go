// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"
)

// activityView is the part of the response to GET …/activity that is printed.
type activityView struct {
	Accepted int64   `json:"accepted"`
	Denied   int64   `json:"denied"`
	Outcomes []count `json:"outcomes"`
	Doors    []count `json:"doors"`
	Networks []count `json:"networks"`
	Unusual  []struct {
		At       time.Time `json:"at"`
		Sentence string    `json:"sentence"`
	} `json:"unusual"`
}

type count struct {
	Name   string    `json:"name"`
	Count  int64     `json:"count"`
	LastAt time.Time `json:"lastAt"`
}

func (c *cli) activity() *cobra.Command {
	var server serverFlags
	var since time.Duration
	var format string
	cmd := &cobra.Command{
		Use:   "activity NAME",
		Short: "Show what a key is used for",
		Long: `Show what a key is used for. The cluster knows when it was last used, and what was unusual. The
server knows more: which endpoints and networks use it, and how often. For that, give --server-url,
and on standard input a token that may see the key (scope activity:read).`,
		Example: `  kubectl apikey activity billing
  kubectl apikey activity billing --server-url=https://keys.example.com < admin-token`,
		Args: cobra.ExactArgs(1), ValidArgsFunction: c.completeName,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := server.checkFormat(format); err != nil {
				return err
			}
			k8s, namespace, err := c.connect()
			if err != nil {
				return err
			}
			o, err := get(cmd.Context(), k8s, namespace, bareNames(args)[0])
			if err != nil {
				return err
			}
			if server.url == "" {
				c.printf("Last used: %s", lastUsed(o, c.now()))
				c.notef("For counts, endpoints and networks give --server-url, and a token on standard input.")
				return c.printEvents(cmd.Context(), k8s, o)
			}
			from := url.QueryEscape(c.now().Add(-since).UTC().Format(time.RFC3339))
			path := "/api/keys/" + namespace + "/" + o.Name + "/activity?since=" + from
			return c.serverActivity(cmd.Context(), server, path, format)
		},
	}
	server.add(cmd)
	cmd.Flags().DurationVar(&since, "since", 24*time.Hour, "how far to look back")
	cmd.Flags().StringVarP(&format, "output", "o", formatTable, "table, or json: the response of the server")
	return cmd
}

// serverActivity prints what the server knows.
func (c *cli) serverActivity(ctx context.Context, server serverFlags, path, format string) error {
	var v activityView
	if printed, err := c.ask(ctx, server, path, format, &v); printed || err != nil {
		return err
	}
	return c.printActivity(v)
}

func (c *cli) printActivity(v activityView) error {
	c.printf("Accepted %d, refused %d", v.Accepted, v.Denied)
	w := columns(c.Out)
	ago := func(t time.Time) string { return duration.HumanDuration(c.now().Sub(t)) + " ago" }
	for _, part := range []struct {
		name   string
		counts []count
	}{{"Outcomes", v.Outcomes}, {"Endpoints", v.Doors}, {"Networks", v.Networks}} {
		_, _ = fmt.Fprintf(w, "%s:\n", part.name)
		for _, n := range part.counts {
			_, _ = fmt.Fprintf(w, "  %s\t%d\tlast %s\n", n.Name, n.Count, ago(n.LastAt))
		}
	}
	_, _ = fmt.Fprintln(w, "Unusual:")
	for _, u := range v.Unusual {
		_, _ = fmt.Fprintf(w, "  %s\t%s\n", ago(u.At), u.Sentence)
	}
	return w.Flush() //nolint:wrapcheck // of our own output
}
