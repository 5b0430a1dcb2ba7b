package pbxsim

import (
	"bufio"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
)

// The operations of a frame (RFC 6455, 5.2).
const (
	opText  = 1
	opClose = 8
	opPing  = 9
	opPong  = 10
)

func (r request) isSocket() bool { return r.path == "/ari/events" && r.has("Upgrade", "websocket") }

// upgrade makes the connection a websocket of its applications, or answers why not.
func (c *ariConn) upgrade(r request) bool {
	p := c.pbx
	if refusal, ok := p.refuseSocket(r); !ok {
		c.reply(refusal, !r.has("Connection", "close"))
		return false
	}
	sum := sha1.Sum([]byte(r.header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n"
	if protocol := r.header.Get("Sec-WebSocket-Protocol"); protocol != "" {
		head += "Sec-WebSocket-Protocol: " + protocol + "\r\n"
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	c.socket = true
	p.stats.Websockets++
	c.queue([]byte(head + "\r\n"))
	for name := range strings.SplitSeq(r.query.Get("app"), ",") {
		p.activate(name, c, strings.EqualFold(r.query.Get("subscribeAll"), "true"))
	}
	return true
}

func (p *PBX) refuseSocket(r request) (refusal answer, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if refusal, ok := p.admit(r); !ok {
		return refusal, false
	}
	if r.query.Get("app") == "" {
		message := "HTTP request is missing param: [app]"
		if r.query.Has("app") && !p.release.modern {
			message = "Invalid application provided in param [app]."
		}
		return page(http.StatusBadRequest, message), false
	}
	protocol := r.header.Get("Sec-WebSocket-Protocol")
	if r.header.Get("Sec-WebSocket-Version") != "13" || protocol != "" && protocol != "ari" {
		return answer{status: http.StatusBadRequest, header: "Sec-WebSocket-Version: 7, 8, 13\r\n"}, false
	}
	return answer{}, true
}

// appendFrame adds one whole, unmasked frame.
func appendFrame(b []byte, op byte, payload []byte) []byte {
	b = append(b, 0x80|op)
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n <= 0xffff:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// frames reads what the client says: pings are answered, a close ends it, and
// texts are for REST over the websocket, which is not simulated.
func (c *ariConn) frames(r *bufio.Reader) {
	for {
		op, payload, err := readFrame(r)
		if err != nil {
			return
		}
		switch op {
		case opPing:
			c.say(appendFrame(nil, opPong, payload))
		case opClose:
			if c.say(appendFrame(nil, opClose, payload[:min(len(payload), 2)])) {
				return
			}
		}
	}
}

// say queues a frame; false: nothing is said any more.
func (c *ariConn) say(frame []byte) bool {
	c.pbx.mu.Lock()
	defer c.pbx.mu.Unlock()
	if !c.mute {
		c.queue(frame)
		return true
	}
	c.undead = c.undead || frame[0] == 0x80|opPong
	return false
}

func readFrame(r *bufio.Reader) (op byte, payload []byte, err error) {
	var head [2]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return 0, nil, err
	}
	n := uint64(head[1] & 0x7f)
	if n >= 126 {
		size := make([]byte, 8)
		if n == 126 {
			size = size[:2]
		}
		if _, err := io.ReadFull(r, size); err != nil {
			return 0, nil, err
		}
		n = 0
		for _, b := range size {
			n = n<<8 | uint64(b)
		}
	}
	if n > maxBody {
		return 0, nil, fmt.Errorf("a frame of %d bytes", n)
	}
	var mask [4]byte
	if head[1]&0x80 != 0 {
		if _, err := io.ReadFull(r, mask[:]); err != nil {
			return 0, nil, err
		}
	}
	payload = make([]byte, n)
	if _, err := io.ReadFull(r, payload); err != nil {
		return 0, nil, err
	}
	for i := range payload {
		payload[i] ^= mask[i%4]
	}
	return head[0] & 0x0f, payload, nil
}
