// SPDX-License-Identifier: Apache-2.0

// Package process starts the programs that tests and `make run` need: on ports that nothing else takes, and so that
// none outlives the process that started it.
package process

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
)

// Ports are given out below the ranges from which Linux (32768) and macOS (49152) take the ports of outgoing
// connections and of listeners on port 0, and below those of Kubernetes' NodePorts (30000).
const (
	firstPort = 18000
	pairs     = 6000
	attempts  = 1000
)

// guards hold what Address has given out, until this process ends.
var guards struct {
	sync.Mutex
	list []net.Listener
}

// Address returns a TCP address of this machine, 127.0.0.1 with a port, for a program that is yet to be started. No
// other caller gets it as long as this process lives, in whatever process: ports come in pairs, the even one is given
// out, and the odd one is bound until this process ends.
func Address() (string, error) {
	var last error
	for range attempts {
		port := firstPort + 2*rand.IntN(pairs) //nolint:gosec // any
		guard, err := listen(port + 1)
		if err != nil {
			last = err
			continue
		}
		l, err := listen(port)
		if err != nil {
			last = errors.Join(err, guard.Close())
			continue
		}
		guards.Lock()
		guards.list = append(guards.list, guard)
		guards.Unlock()
		return l.Addr().String(), l.Close()
	}
	return "", errors.Join(errors.New("find a free port"), last)
}

func listen(port int) (net.Listener, error) {
	at := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	return net.Listen("tcp", at) //nolint:noctx // immediate
}
