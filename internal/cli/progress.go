// SPDX-License-Identifier: Apache-2.0

package cli

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/schollz/progressbar/v3"
	"golang.org/x/term"
)

const (
	drawInterval   = 100 * time.Millisecond // of the bar
	reportInterval = 2 * time.Second        // of lines, without a terminal
)

// progress reports how many of all are done, until stop is called: as a bar on a terminal, otherwise as lines.
func (c *cli) progress(all int, done *atomic.Int64) (stop func()) {
	draw, interval := func() { c.notef("%d of %d", done.Load(), all) }, reportInterval
	finish := func() {}
	if f, ok := c.ErrOut.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		bar := progressbar.NewOptions(all, progressbar.OptionSetWriter(c.ErrOut),
			progressbar.OptionSetDescription("importing"), progressbar.OptionShowCount(), progressbar.OptionShowIts(),
			progressbar.OptionSetItsString("keys"), progressbar.OptionSetPredictTime(true),
			progressbar.OptionThrottle(drawInterval))
		draw, interval = func() { _ = bar.Set64(done.Load()) }, drawInterval
		finish = func() {
			draw()
			_, _ = fmt.Fprintln(c.ErrOut)
		}
	}
	stopping, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-stopping:
				return
			case <-ticker.C:
				draw()
			}
		}
	}()
	return func() {
		close(stopping)
		<-stopped
		finish()
	}
}
