package snapshot

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"

	"github.com/klauspost/compress/zstd"
)

// Format is the number of the file format that Encode writes, and the newest that Decode reads.
const Format = 1

const (
	magic = "BERTHSNP"

	frameHeaderBytes = 16
	// A frame is written when its payload has grown to frameBytes; frameBytesMax is what a reader accepts. Not
	// smaller: zstd needs something to work with. Not larger: writer and reader each hold a frame in memory.
	frameBytes    = 256 << 10
	frameBytesMax = 4 << 20
)

type frameType uint8

const (
	frameHeader     frameType = 1
	frameKinds      frameType = 2
	frameServers    frameType = 3
	frameSlots      frameType = 4
	frameResults    frameType = 5
	framePlacements frameType = 6
	frameSessions   frameType = 7
	frameLocks      frameType = 8
	frameBlocks     frameType = 9
	frameMoves      frameType = 10
	frameTimeline   frameType = 12
	frameCrashes    frameType = 13
	frameEnd        frameType = 255
)

const (
	codingPlain = 0
	codingZstd  = 1
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frameWriter writes frames and keeps the checksum of the whole file.
type frameWriter struct {
	w    io.Writer
	sum  hash.Hash
	zstd *zstd.Encoder
	out  []byte
}

func newFrameWriter(w io.Writer) (*frameWriter, error) {
	// One goroutine, the caller's: EncodeAll starts none.
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	f := &frameWriter{w: w, sum: sha256.New(), zstd: z}
	return f, f.write(binary.LittleEndian.AppendUint16([]byte(magic), Format))
}

func (f *frameWriter) write(b []byte) error {
	f.sum.Write(b)
	_, err := f.w.Write(b)
	return err
}

// frame writes one frame. Compression that saves less than an eighth is not worth its price at restore.
func (f *frameWriter) frame(t frameType, payload []byte) error {
	f.out = append(f.out[:0], make([]byte, frameHeaderBytes)...)
	coding := byte(codingPlain)
	if len(payload) >= 512 {
		f.out = f.zstd.EncodeAll(payload, f.out)
		coding = codingZstd
	}
	if coding == codingPlain || len(f.out)-frameHeaderBytes > len(payload)-len(payload)/8 {
		f.out, coding = append(f.out[:frameHeaderBytes], payload...), codingPlain
	}
	h := f.out[:frameHeaderBytes]
	h[0], h[1], h[2], h[3] = byte(t), coding, 0, 0
	binary.LittleEndian.PutUint32(h[4:], uint32(len(payload)))
	binary.LittleEndian.PutUint32(h[8:], uint32(len(f.out)-frameHeaderBytes))
	crc := crc32.Update(crc32.Checksum(h[:12], castagnoli), castagnoli, f.out[frameHeaderBytes:])
	binary.LittleEndian.PutUint32(h[12:], crc)
	return f.write(f.out)
}

func (f *frameWriter) end() error { return f.frame(frameEnd, f.sum.Sum(nil)) }

// frameReader reads what frameWriter wrote and trusts none of it.
type frameReader struct {
	r      io.Reader
	sum    hash.Hash
	zstd   *zstd.Decoder
	offset int64 // of the frame being read
	read   int64
	last   frameType
	stored []byte
	raw    []byte
}

func newFrameReader(r io.Reader) (*frameReader, error) {
	z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(frameBytesMax), zstd.WithDecoderMaxWindow(frameBytesMax))
	if err != nil {
		return nil, err
	}
	f := &frameReader{r: r, sum: sha256.New(), zstd: z}
	var head [len(magic) + 2]byte
	if err := f.full(head[:]); err != nil {
		return nil, err
	}
	if string(head[:len(magic)]) != magic {
		return nil, f.corrupt("it does not begin like a snapshot", nil)
	}
	if format := binary.LittleEndian.Uint16(head[len(magic):]); format != Format {
		if format > Format {
			return nil, &NewerFormatError{Format: format, Known: Format}
		}
		return nil, f.corrupt(fmt.Sprintf("there is no format %d", format), nil)
	}
	f.sum.Write(head[:])
	return f, nil
}

func (f *frameReader) close() { f.zstd.Close() }

func (f *frameReader) corrupt(what string, err error) error {
	return &CorruptError{Offset: f.offset, What: what, Err: err}
}

// full fills b or says why it cannot.
func (f *frameReader) full(b []byte) error {
	n, err := io.ReadFull(f.r, b)
	f.read += int64(n)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return f.corrupt("it ends too early", nil)
	case err != nil:
		return fmt.Errorf("read snapshot at byte %d: %w", f.read, err)
	}
	return nil
}

// next returns the next frame. The payload is valid until the next call.
func (f *frameReader) next() (frameType, []byte, error) {
	f.offset = f.read
	var h [frameHeaderBytes]byte
	if err := f.full(h[:]); err != nil {
		return 0, nil, err
	}
	t, raw, stored := frameType(h[0]), binary.LittleEndian.Uint32(h[4:]), binary.LittleEndian.Uint32(h[8:])
	if raw > frameBytesMax || stored > frameBytesMax || h[2] != 0 || h[3] != 0 || h[1] > codingZstd {
		return 0, nil, f.corrupt("a frame's header makes no sense", nil)
	}
	if t < f.last {
		return 0, nil, f.corrupt("frames are out of order", nil)
	}
	if err := f.readStored(int(stored)); err != nil {
		return 0, nil, err
	}
	if crc := crc32.Update(crc32.Checksum(h[:12], castagnoli), castagnoli, f.stored); crc != binary.LittleEndian.Uint32(h[12:]) {
		return 0, nil, f.corrupt("a frame's checksum is wrong", nil)
	}
	f.last = t
	if t == frameEnd {
		return t, nil, f.checkEnd(raw, stored)
	}
	f.sum.Write(h[:])
	f.sum.Write(f.stored)
	return f.decode(t, h[1], int(raw))
}

func (f *frameReader) decode(t frameType, coding byte, raw int) (frameType, []byte, error) {
	if coding == codingPlain {
		if len(f.stored) != raw {
			return 0, nil, f.corrupt("a frame's lengths differ", nil)
		}
		return t, f.stored, nil
	}
	var err error
	if f.raw, err = f.zstd.DecodeAll(f.stored, f.raw[:0]); err != nil {
		return 0, nil, f.corrupt("a frame cannot be decompressed", err)
	}
	if len(f.raw) != raw {
		return 0, nil, f.corrupt("a frame has another length than it says", nil)
	}
	return t, f.raw, nil
}

// readStored reads n bytes, growing only as they arrive.
func (f *frameReader) readStored(n int) error {
	f.stored = f.stored[:0]
	for len(f.stored) < n {
		at := len(f.stored)
		step := min(n-at, max(64<<10, at))
		f.stored = append(f.stored, make([]byte, step)...)
		if err := f.full(f.stored[at:]); err != nil {
			return err
		}
	}
	return nil
}

// checkEnd compares the checksum of the whole file, and that nothing follows.
func (f *frameReader) checkEnd(raw, stored uint32) error {
	if raw != sha256.Size || stored != sha256.Size || !bytes.Equal(f.stored, f.sum.Sum(nil)) {
		return f.corrupt("the checksum of the file is wrong", nil)
	}
	if n, err := f.r.Read(make([]byte, 1)); n != 0 {
		return f.corrupt("something follows the last frame", nil)
	} else if err != nil && !errors.Is(err, io.EOF) {
		return fmt.Errorf("read snapshot at byte %d: %w", f.read, err)
	}
	return nil
}
