// Package workload is what a fault test does with a cluster, and writes down: clients who place, look up, move and remove
// identities; members that activate them, say from when until when they believe to own each, and write to a resource that
// is guarded by the epoch; and holders of locks who do the same.
//
// Beside the clients some watch what happens, one saves the state of one server after the other, and one for each member keeps
// something placed there.
//
// Clients runs within the process of the test. RunMember, RunLocker and RunAsker, in which clients ask as well, are for processes of their own, so
// that they can be killed and stopped; each life of one writes a history of its own (NewFile), and the test merges them. Resource is in the
// process of the test: it is what nobody stops, and it decides the order of the writes.
//
// The sizes keep a history checkable: at most ClientsMax clients ask about one identity, a bounded number of times, and
// then a fresh identity takes its place.
package workload
