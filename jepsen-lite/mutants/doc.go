// Package mutants is berths with one fault in them each, put there on purpose: a promise that is taken out. A fault test that
// does not find them is no good.
//
//	for _, m := range mutants.All() {
//		err := m.Build(".", "berth-mutant")
//		… // run m.Scenario with it: one of m.Checkers must say false
//	}
//
// They are built from the tree by go build -overlay, which leaves the tree as it is. Each names the text that it replaces: when
// that has changed the build fails, instead of testing nothing.
package mutants
