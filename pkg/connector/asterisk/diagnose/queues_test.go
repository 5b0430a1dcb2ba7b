package diagnose

import (
	"strings"
	"testing"

	"github.com/presencebridge/presencebridge/pkg/pbxsim"
	"github.com/presencebridge/presencebridge/pkg/pbxsim/pbxtest"
)

func TestTheRightToPauseMembersOfQueues(t *testing.T) {
	member := []pbxsim.Member{{Queue: "support", Interface: "PJSIP/1001"}}
	for _, tc := range []struct {
		name, rights, template string
		members                []pbxsim.Member
		want                   Result
		says                   string
	}{
		{"none", "call,reporting", "PJSIP/{extension}", member, Warning, "may not pause"},
		{"agent", "call,reporting,agent", "PJSIP/{extension}", member, OK, "1 of 1 are extensions"},
		{"another name", "call,reporting,agent", "Local/{extension}@from-queue/n", member, Warning, `one is "PJSIP/1001"`},
		{"nobody", "call,reporting,agent", "PJSIP/{extension}", []pbxsim.Member{}, Info, "there are none"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			users := []pbxsim.User{{Name: "good", Secret: secret, Read: "system,call", Write: tc.rights}}
			pbxtest.Run(t, pbxtest.Options{Users: users, Queues: tc.members}, func(t *testing.T, pbx pbxtest.PBX) {
				c := config(pbx.Addr(), "good")
				c.Members = []string{tc.template}
				step := expect(t, Examine(t.Context(), c, nil), "queues", tc.want, tc.says)
				if tc.rights == "call,reporting" && !strings.Contains(strings.Join(step.Fix[0].Lines, "\n"), "read = system,call,agent\nwrite = call,reporting,agent") {
					t.Errorf("the lines to write are %q", step.Fix)
				}
			})
		})
	}
}

func TestWithoutAppQueueDoctorSaysWhichModule(t *testing.T) {
	for _, f := range pbxtest.Reals(t) {
		t.Run(f.Name, func(t *testing.T) {
			pbx := f.Start(t, pbxtest.Options{Users: accounts()})
			c := config(pbx.Addr(), "good")
			c.Members = []string{"PJSIP/{extension}"}
			expect(t, Examine(t.Context(), c, nil), "queues", Warning, "app_queue.so is not loaded")
		})
	}
}
