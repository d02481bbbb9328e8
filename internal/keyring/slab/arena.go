// SPDX-License-Identifier: Apache-2.0

package slab

import "unsafe"

// span is where a text begins in an arena: the number of the chunk, then the byte in it.
type span = uint32

const (
	chunkBits = 16
	chunkSize = 1 << chunkBits
)

// arena holds texts. A text never changes after it is written, so strings may point into the arena; they keep
// its chunk in memory.
type arena struct {
	chunks [][]byte
	unused int // bytes of texts that are no longer in use
}

func (a *arena) size() int { return len(a.chunks) * chunkSize }

func (a *arena) put(s string) span {
	if s == "" {
		return 0
	}
	last := len(a.chunks) - 1
	if last < 0 || len(a.chunks[last])+len(s) > chunkSize {
		a.chunks = append(a.chunks, make([]byte, 0, chunkSize))
		last++
	}
	at := len(a.chunks[last])
	a.chunks[last] = append(a.chunks[last], s...)
	return uint32(last)<<chunkBits | uint32(at) //nolint:gosec // 65,536 chunks of 64 KiB: 4 GiB of names
}

func (a *arena) text(at span, length int) string {
	if length == 0 {
		return ""
	}
	chunk := a.chunks[at>>chunkBits]
	return unsafe.String(&chunk[at&(chunkSize-1)], length) //nolint:gosec // audited: written bytes never change
}
