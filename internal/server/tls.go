package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/roentgen-io/roentgen/internal/freshfile"
)

// certificate is the pair of files to speak TLS with, read again when they change.
type certificate struct {
	value *freshfile.Value[*tls.Certificate]
}

// openCertificate reads a certificate and its key.
func openCertificate(certFile, keyFile string, logger *slog.Logger) (*certificate, error) {
	c := &certificate{}
	read := func(*tls.Certificate) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(certFile, keyFile)
		if err != nil {
			var pe *fs.PathError
			if !errors.As(err, &pe) { // which names its file
				err = fmt.Errorf("%s and %s: %w", certFile, keyFile, err)
			}
			return nil, fmt.Errorf("cannot use the TLS certificate: %w", err)
		}
		return &pair, nil
	}
	tell := func(leaf *x509.Certificate) {
		names := slices.Clone(leaf.DNSNames)
		for _, ip := range leaf.IPAddresses {
			names = append(names, ip.String())
		}
		attrs := []slog.Attr{slog.String("file", certFile), slog.Any("names", names), slog.Time("expires", leaf.NotAfter)}
		level, msg := slog.LevelInfo, "tls certificate read"
		if time.Now().After(leaf.NotAfter) {
			level, msg = slog.LevelWarn, "tls certificate has expired"
		}
		logger.LogAttrs(context.Background(), level, msg, attrs...)
	}
	var err error
	c.value, err = freshfile.Open(freshfile.Options[*tls.Certificate]{
		Paths: []string{certFile, keyFile},
		Read: func(old *tls.Certificate) (*tls.Certificate, error) {
			pair, err := read(old)
			if err == nil && pair.Leaf != nil {
				tell(pair.Leaf)
			}
			return pair, err
		},
		Changed: func(err error) {
			if err != nil {
				// The files of a pair are seldom replaced at the same moment.
				logger.Warn("tls certificate not read again, that from before stays in use", slog.Any("err", err))
			}
		},
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// config returns how to speak TLS.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.value.Get(), nil },
	}
}
