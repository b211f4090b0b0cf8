// Package history is what a fault test writes down: who asked what and when, what was answered, who believed to own what,
// what a guarded resource was asked to do, what the servers said of themselves, and which faults there were.
//
// # The file
//
// A history is JSON, one event a line, in UTF-8. Each line has the moment in "at" and one other field, which names what
// happened there:
//
//	{"at":0,"run":{"format":1,"scenario":"partition","seed":42,…}}     the first line
//	{"at":51,"invoke":{"op":1,"client":"c1","f":"place","identity":"cart/1"}}
//	{"at":93,"ok":{"op":1,"phase":"settled","member":"m1","epoch":4096,"created":true}}
//	{"at":99,"hold":{"identity":"cart/1","member":"m1","epoch":4096,"from":88,"to":99}}
//
// An operation begins with an invoke and ends with one of three answers. It is ok: it happened, and this is what was seen.
// It is fail: it certainly changed nothing. It is unknown: it may have happened, or may yet. An operation without an answer
// is unknown.
//
// All moments are nanoseconds on one monotonic clock of the machine that runs the test, counted from the run's beginning
// (Clock): never that of a process whose clock is being tampered with. A call's moment is taken before the request is made
// and an answer's after the reply is decoded, so what happened did so in between.
//
// # Its life
//
// A Recorder writes whole lines and appends only, so a history is readable after the process that wrote it was killed: the
// last line may be torn, and nothing else. A call is written before its request is made (Invoke), so that what a log says was
// asked for is in the history; the other events of the last moment may be missing. Read takes that, and refuses everything
// else that is wrong with the number of the line. Merge makes one history of those that several processes wrote.
//
// The format only grows: Format is raised with each field, and old histories are read for ever.
package history
