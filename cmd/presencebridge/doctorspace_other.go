//go:build !linux

package main

import "errors"

// space is only known on Linux.
func space(string) (uint64, error) { return 0, errors.ErrUnsupported }
