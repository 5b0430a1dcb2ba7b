package servertest

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// Disk is a small one that a server has to itself.
type Disk struct {
	server *Server
	filler string
}

// NewDisk moves the files of the server to a disk of that size, such as 200m. It needs
// the right to mount one.
func (s *Server) NewDisk(size string) Disk {
	s.t.Helper()
	s.Stop()
	data, old := s.path("data"), s.path("old")
	s.must("make room", os.Rename(data, old))
	s.must("make a folder", os.Mkdir(data, 0o700))
	if err := syscall.Mount("tmpfs", data, "tmpfs", 0, "mode=0700,size="+size); err != nil {
		s.t.Skipf("a small file system cannot be mounted (run as root): %v", err)
	}
	s.t.Cleanup(func() { s.Kill(); _ = syscall.Unmount(data, syscall.MNT_DETACH) }) // before the folder goes
	s.must("give the disk away", s.own(data))
	if out, err := exec.CommandContext(s.t.Context(), "cp", "-a", old+"/.", data).CombinedOutput(); err != nil {
		s.t.Fatalf("copy: %v\n%s", err, out)
	}
	s.Start()
	return Disk{s, filepath.Join(data, "filler")}
}

// Fill leaves no room.
func (d Disk) Fill() {
	d.server.t.Helper()
	f, err := os.Create(d.filler)
	d.server.must("fill the disk", err)
	defer func() { _ = f.Close() }()
	for block := make([]byte, 4096); ; {
		if _, err := f.Write(block); err != nil {
			if !errors.Is(err, syscall.ENOSPC) {
				d.server.t.Fatal(err)
			}
			return
		}
	}
}

// Empty takes back what Fill took, and starts the server again where it has ended for it.
func (d Disk) Empty() {
	d.server.t.Helper()
	d.server.must("empty the disk", os.Remove(d.filler))
	if d.server.admin.PingContext(d.server.t.Context()) != nil {
		d.server.Kill()
		d.server.Start()
	}
}
