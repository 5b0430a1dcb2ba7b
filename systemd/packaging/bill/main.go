// Command bill tells what a built presencebridge is made of: a software bill of
// materials (CycloneDX), and the licences of everything that is linked into it.
//
//	go run ./systemd/packaging/bill sbom BINARY VERSION
//	go run ./systemd/packaging/bill licences BINARY
//
// It believes what the binary says of itself and looks up the licences in the module
// cache. A licence that is missing, unknown or not permitted is an error. It is for
// releases and is in no package itself.
package main

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		_, _ = fmt.Fprintln(os.Stderr, "bill:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) < 2 {
		return errors.New("use it as bill sbom BINARY VERSION, or bill licences BINARY")
	}
	info, err := buildinfo.ReadFile(args[1])
	if err != nil {
		return fmt.Errorf("what is in %s: %w", args[1], err)
	}
	parts, err := partsOf(ctx, info)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	switch {
	case args[0] == "sbom" && len(args) == 3:
		binary, err := os.ReadFile(args[1])
		if err != nil {
			return err
		}
		made, err := madeAt(os.Getenv("SOURCE_DATE_EPOCH"))
		if err != nil {
			return err
		}
		if err := writeSBOM(&out, info, parts, product{version: args[2], binary: binary, made: made}); err != nil {
			return err
		}
	case args[0] == "licences" && len(args) == 2:
		writeLicences(&out, parts)
	default:
		return fmt.Errorf("bill %s with %d arguments is unknown", args[0], len(args)-1)
	}
	_, err = os.Stdout.Write(out.Bytes())
	return err
}

// madeAt reads SOURCE_DATE_EPOCH, the time that everything in a release has.
func madeAt(epoch string) (time.Time, error) {
	seconds, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH is %q, want the seconds of the commit: git log -1 --format=%%ct", epoch)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
