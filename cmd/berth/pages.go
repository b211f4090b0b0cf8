package main

// pages asks for one page after the other, until there are no more, or, unless all are wanted, so many are there. next asks
// for a page of that size and says how many came and whether there are more.
func pages(limit uint32, whole bool, next func(size uint32) (n int, more bool, err error)) error {
	for have := uint32(0); ; {
		size := uint32(pageMax)
		if !whole {
			size = min(limit-have, pageMax)
		}
		n, more, err := next(size)
		if err != nil {
			return err
		}
		if have += uint32(n); !more || !whole && have >= limit {
			return nil
		}
	}
}
