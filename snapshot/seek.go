package snapshot

// What seekUUID says in place of where a record is.
const (
	seekInPage = -1 // the page is mixed or has more than sixteen records: look into it
	seekNot    = -2 // the text is no UUID, or there is no short way on this processor
)
