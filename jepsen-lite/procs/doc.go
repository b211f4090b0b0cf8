// Package procs runs the processes of a fault test: real servers, members and lock holders, each from the berth binary,
// each with a log in the folder of the run, and ends, kills, stops and starts them again.
//
// Nothing is left behind: on Linux a process gets SIGKILL, also one that is stopped, when the one that started it dies,
// however that one does.
//
// A Site is where processes run: Machine is this machine's loopback interface; a switchnet.Host is another.
//
// Goroutines: one for each process that runs, until it has ended; one for a Machine, locked to the thread that its
// processes are bound to, until Close.
package procs
