package snapshot

import "github.com/seed13d31b7f/berth/snapshot/snapshotpb"

func (v *View) encodeTimeline(f *frameWriter) error {
	if len(v.timeline.marks) == 0 {
		return nil
	}
	m := &snapshotpb.Timeline{}
	for _, x := range v.timeline.marks {
		m.Indexes, m.TimesMs = append(m.Indexes, x.index), append(m.TimesMs, x.time)
	}
	return f.message(frameTimeline, m)
}

func (d *decoder) decodeTimeline(payload []byte) error {
	var m snapshotpb.Timeline
	if err := d.message(payload, &m); err != nil {
		return err
	}
	v := &d.e.v
	n := len(m.Indexes)
	if len(v.timeline.marks) > 0 || n == 0 || n > MarksMax || n != len(m.TimesMs) || m.Indexes[n-1] > v.Index || m.TimesMs[n-1] > v.Time {
		return d.f.corrupt("the timeline makes no sense", nil)
	}
	for i, index := range m.Indexes {
		if v.timeline.add(index, m.TimesMs[i]); len(v.timeline.marks) != i+1 {
			return d.f.corrupt("the timeline is out of order", nil)
		}
	}
	return nil
}
