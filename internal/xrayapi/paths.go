package xrayapi

import (
	"net/http"
	"strings"
)

// Operations returns the names of all operations of the service model by their
// paths without slashes.
func Operations() map[string]string {
	all := make(map[string]string, len(operations))
	for path, op := range operations {
		all[path] = op.name
	}
	return all
}

// OperationPath returns which operation a request for path asks for, as its path
// without slashes; ok is false when it asks for none.
func OperationPath(path string) (element string, ok bool) {
	path = strings.TrimRight(path, "/")
	element = path[strings.LastIndexByte(path, '/')+1:]
	return element, lookup(element) != nil
}

// SetRequestID gives an answer the id that SDKs show to people.
func SetRequestID(h http.Header) { h["x-amzn-RequestId"] = []string{newRequestID()} }
