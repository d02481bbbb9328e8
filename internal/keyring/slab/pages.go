// SPDX-License-Identifier: Apache-2.0

package slab

// pages stores records in pages of a fixed size. Growing copies no record and wastes at most one page.
type pages[T any] struct {
	pages []*[pageSize]T
	used  int   // records in use
	high  int   // records ever in use at once; free ones included
	spare []ref // free records
}

const pageSize = 1 << 12

func (p *pages[T]) at(r ref) *T { return &p.pages[(r-1)/pageSize][(r-1)%pageSize] }

func (p *pages[T]) add(v T) ref {
	p.used++
	if n := len(p.spare); n > 0 {
		r := p.spare[n-1]
		p.spare = p.spare[:n-1]
		*p.at(r) = v
		return r
	}
	if p.high == len(p.pages)*pageSize {
		p.pages = append(p.pages, new([pageSize]T))
	}
	p.high++
	r := ref(p.high) //nolint:gosec // 4 billion records do not fit into memory
	*p.at(r) = v
	return r
}

func (p *pages[T]) free(r ref) {
	var zero T
	*p.at(r) = zero
	p.used--
	p.spare = append(p.spare, r)
}
