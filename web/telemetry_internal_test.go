package web

import "testing"

func TestWorthTracing_WhatMayDoSomething(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]bool{
		"/api/sessions": true, "/api/sessions/x/messages": true, "/ws": true, "/api/nothing": true,
		"/metrics": false, "/api/metrics": false, "/api/health": false, "/api/ready": false,
		"/": false, "/assets/index.js": false, "/sessions/x": false,
	} {
		if got := worthTracing(path); got != want {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
}
