package api

import (
	"testing"

	"github.com/seed13d31b7f/berth/lookupclient/apiv1"
	"github.com/seed13d31b7f/berth/raftnode/internal/group"
)

// A leader that is deposed and does not know it yet is the leader of its own term, not of the one that Raft has heard of.
func TestLeading_RaftKnowsALaterTerm_TermIsTheTenures(t *testing.T) {
	for _, tt := range []struct {
		name   string
		role   apiv1.Role_Name
		leader string
		tenure *group.Tenure
		want   apiv1.Role_Name
		term   uint64
		knows  string
	}{
		{"it leads", apiv1.Role_LEADER, "s2", &group.Tenure{Term: 7}, apiv1.Role_LEADER, 7, "s2"},
		{"it is deposed, and does not know it", apiv1.Role_LEADER, "s5", &group.Tenure{Term: 6}, apiv1.Role_LEADER, 6, "s2"},
		{"it begins to lead", apiv1.Role_FOLLOWER, "", &group.Tenure{Term: 7}, apiv1.Role_LEADER, 7, "s2"},
		{"it ends to lead", apiv1.Role_LEADER, "s5", nil, apiv1.Role_FOLLOWER, 7, "s5"},
		{"it follows", apiv1.Role_FOLLOWER, "s5", nil, apiv1.Role_FOLLOWER, 7, "s5"},
		{"it has no vote", apiv1.Role_NONVOTER, "s5", nil, apiv1.Role_NONVOTER, 7, "s5"},
	} {
		resp := &apiv1.ServerStatusResponse{Name: "s2", Role: tt.role, Leader: tt.leader, Term: 7}
		if leading(resp, tt.tenure); resp.Role != tt.want || resp.Term != tt.term || resp.Leader != tt.knows {
			t.Errorf("%s: %v of term %d under %q, want %v of %d under %q", tt.name, resp.Role, resp.Term, resp.Leader, tt.want, tt.term, tt.knows)
		}
	}
}
