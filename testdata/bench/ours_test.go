package bench

import (
	"fmt"
	"testing"
)

// BenchmarkOurs is our part of the comparison of panels alone, for those who change it:
// `-bench Ours/20000`, and PROGRAM=file for a program that is built already.
func BenchmarkOurs(b *testing.B) {
	program := buildProgram(b)
	for _, l := range []load{
		{users: wireUsers(1000), browsers: 1, rate: 1000, seconds: wireSeconds},
		{users: wireUsers(20_000), browsers: 1, rate: 20_000, seconds: wireSeconds},
		{users: feedUsers, browsers: feedClients, rate: feedRate, seconds: manySeconds},
	} {
		b.Run(fmt.Sprintf("%d/%d", l.rate, l.browsers), func(b *testing.B) {
			sim := startChild(b, fmt.Sprint("sim ", perUser*l.users))
			for _, p := range panels() {
				if p.ours {
					v := &viewed{panel: p, Panel: p.name, Ours: true, Rate: l.rate, Browsers: l.browsers}
					for b.Loop() {
						v.add(p.bear(b, program, sim, l), l)
					}
					if v.loss() != "none" {
						b.Error(v.loss())
					}
					fmt.Println(watchedTable([]*viewed{v}))
				}
			}
		})
	}
}
