package spool

// Held receives a value each time that a write begins to wait for room. It is called before the first write.
func (w *Writer) Held() <-chan struct{} {
	w.held.Init()
	return w.held.C()
}
