package pbxtest

// UserEvent lets an ordinary channel run the application UserEvent with these
// arguments in the dialplan, which it replaces.
func (p *Real) UserEvent(arguments string) {
	p.t.Helper()
	p.Dialplan("[userevent]\nexten => 1,1,UserEvent(" + arguments + ")\n same => n,Hangup\n")
	p.Load("app_userevent.so")
	p.Dial("1001", "1", "userevent")
}

// UserEvent lets an ordinary channel run the application UserEvent with these
// arguments in the dialplan.
func (p *Simulated) UserEvent(arguments string) { p.Sim.UserEvent(arguments) }
