package udp

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/net/ipv4"
	"golang.org/x/sys/unix"
)

// mmsgReader reads with recvmmsg. The package ipv4 serves sockets of both
// families here: it hands the call to the kernel as it is.
type mmsgReader struct {
	conn     *ipv4.PacketConn
	messages []ipv4.Message
	out      []message
}

func newBatchReader(conn *net.UDPConn) batchReader {
	r := &mmsgReader{
		conn:     ipv4.NewPacketConn(conn),
		messages: make([]ipv4.Message, readBatch),
		out:      make([]message, readBatch),
	}
	// One piece of memory; the parts of it that no datagram ever reached never
	// become resident.
	buffers := make([]byte, readBatch*maxDatagram)
	for i := range r.messages {
		r.messages[i].Buffers = [][]byte{buffers[i*maxDatagram : (i+1)*maxDatagram : (i+1)*maxDatagram]}
	}
	return r
}

func (r *mmsgReader) read(wait bool) ([]message, error) {
	flags := 0
	if !wait {
		flags = unix.MSG_DONTWAIT
	}
	n, err := r.conn.ReadBatch(r.messages, flags)
	if err != nil {
		if !wait && errors.Is(err, unix.EAGAIN) {
			return nil, nil
		}
		return nil, err
	}
	for i := range r.messages[:n] {
		m := &r.messages[i]
		r.out[i] = message{data: m.Buffers[0][:m.N], peer: addrPort(m.Addr), truncated: m.Flags&unix.MSG_TRUNC != 0}
		m.Addr = nil
	}
	return r.out[:n], nil
}

// growBuffer makes the socket's buffer as large as it may become, up to
// wantedBuffer, and returns the size that the kernel then reports.
func growBuffer(conn *net.UDPConn) (int, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	size := 0
	ctlErr := raw.Control(func(fd uintptr) {
		// Only CAP_NET_ADMIN may go beyond net.core.rmem_max.
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, wantedBuffer) != nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, wantedBuffer)
		}
		if n, e := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF); e == nil {
			size = n
		}
	})
	return size, errors.Join(err, ctlErr)
}

// skMeminfoDrops is the index of the drop counter in the array of SO_MEMINFO
// (SK_MEMINFO_DROPS in linux/sock_diag.h), which has 9 elements.
const skMeminfoDrops = 8

// kernelDrops returns how many datagrams the kernel dropped at the socket since
// it was made, modulo 2^32.
func kernelDrops(conn *net.UDPConn) (uint32, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, err
	}
	var info [9]uint32
	var errno unix.Errno
	var inode uint64
	ctlErr := raw.Control(func(fd uintptr) {
		size := uint32(unsafe.Sizeof(info))
		_, _, errno = unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
			uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&size)), 0)
		if errno == 0 && size <= skMeminfoDrops*4 {
			errno = unix.ENOPROTOOPT
		}
		var st unix.Stat_t
		if errno != 0 && unix.Fstat(int(fd), &st) == nil {
			inode = st.Ino
		}
	})
	if ctlErr != nil {
		return 0, ctlErr
	}
	if errno == 0 {
		return info[skMeminfoDrops], nil
	}
	// Kernels before 4.12, and sandboxes such as gVisor, do not know SO_MEMINFO.
	for _, table := range []string{"/proc/net/udp", "/proc/net/udp6"} {
		data, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		if drops, ok := dropsInTable(data, inode); ok {
			return drops, nil
		}
	}
	return 0, errno
}

// dropsInTable finds the drops of the socket with the given inode in the text of
// /proc/net/udp. The inode is the tenth column, the drops are the last.
func dropsInTable(table []byte, inode uint64) (uint32, bool) {
	want := strconv.FormatUint(inode, 10)
	for lines := bufio.NewScanner(bytes.NewReader(table)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) < 13 || f[9] != want {
			continue
		}
		drops, err := strconv.ParseUint(f[len(f)-1], 10, 32)
		return uint32(drops), err == nil
	}
	return 0, false
}

// bufferHint tells how to get a larger buffer, "" when size is what was wanted.
func bufferHint(size int) string {
	if size >= 2*wantedBuffer {
		return ""
	}
	return fmt.Sprintf("sysctl -w net.core.rmem_max=%d", wantedBuffer)
}
