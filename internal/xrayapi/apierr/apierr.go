// Package apierr holds the errors of the X-Ray API: what goes over the wire as
// a code, a status and a message.
//
// A handler returns an error; one function finds the *Error in its chain and
// writes it. Message goes to the caller, Err stays in our log.
package apierr

import "fmt"

// Code is the name of an error as it stands in the x-amzn-errortype header.
type Code string

// The codes that the server sends. The first block is modelled by the service,
// the second and third are what AWS front ends send, the last is our own, for cases that
// the service does not know or answers in a way nobody can understand.
const (
	InvalidRequest   Code = "InvalidRequestException"
	Throttled        Code = "ThrottledException"
	ResourceNotFound Code = "ResourceNotFoundException"
	RuleLimit        Code = "RuleLimitExceededException"

	TooManyTags              Code = "TooManyTagsException"
	InvalidPolicyRevisionID  Code = "InvalidPolicyRevisionIdException"
	LockoutPrevention        Code = "LockoutPreventionException"
	MalformedPolicyDocument  Code = "MalformedPolicyDocumentException"
	PolicyCountLimitExceeded Code = "PolicyCountLimitExceededException"
	PolicySizeLimitExceeded  Code = "PolicySizeLimitExceededException"

	Validation       Code = "ValidationException"
	Serialization    Code = "SerializationException"
	UnknownOperation Code = "UnknownOperationException"
	AccessDenied     Code = "AccessDeniedException"
	InternalFailure  Code = "InternalFailure"
	Unavailable      Code = "ServiceUnavailableException"

	MissingAuthenticationToken Code = "MissingAuthenticationTokenException"
	UnrecognizedClient         Code = "UnrecognizedClientException"
	InvalidSignature           Code = "InvalidSignatureException"
	IncompleteSignature        Code = "IncompleteSignatureException"
	ExpiredToken               Code = "ExpiredTokenException"

	NotImplemented       Code = "NotImplementedException"
	MethodNotAllowed     Code = "MethodNotAllowedException"
	BodyTooLarge         Code = "RequestEntityTooLargeException"
	UnsupportedMediaType Code = "UnsupportedMediaTypeException"
	RequestTimeout       Code = "RequestTimeoutException"
	IncompleteBody       Code = "IncompleteBodyException"
	Misdirected          Code = "MisdirectedRequestException"
)

// Info says how a code goes over the wire.
type Info struct {
	Status int
	// LowerMessage: the body's key is "message", as AWS front ends write it for
	// these codes; "Message" for all others.
	LowerMessage bool
}

// Table holds every code that the server sends.
var Table = map[Code]Info{
	InvalidRequest:   {Status: 400},
	Throttled:        {Status: 429},
	ResourceNotFound: {Status: 404},
	RuleLimit:        {Status: 400},

	TooManyTags:              {Status: 400},
	InvalidPolicyRevisionID:  {Status: 400},
	LockoutPrevention:        {Status: 400},
	MalformedPolicyDocument:  {Status: 400},
	PolicyCountLimitExceeded: {Status: 400},
	PolicySizeLimitExceeded:  {Status: 400},

	Validation:       {Status: 400, LowerMessage: true},
	Serialization:    {Status: 400},
	UnknownOperation: {Status: 404},
	AccessDenied:     {Status: 403},
	InternalFailure:  {Status: 500, LowerMessage: true},
	Unavailable:      {Status: 503},

	MissingAuthenticationToken: {Status: 403, LowerMessage: true},
	UnrecognizedClient:         {Status: 403, LowerMessage: true},
	InvalidSignature:           {Status: 403, LowerMessage: true},
	IncompleteSignature:        {Status: 403, LowerMessage: true},
	ExpiredToken:               {Status: 403, LowerMessage: true},

	NotImplemented:       {Status: 501},
	MethodNotAllowed:     {Status: 405},
	BodyTooLarge:         {Status: 413},
	UnsupportedMediaType: {Status: 415},
	RequestTimeout:       {Status: 408},
	IncompleteBody:       {Status: 400},
	Misdirected:          {Status: 421},
}

// Error is an error that a caller of the API gets to see.
type Error struct {
	Code    Code
	Status  int    // HTTP status
	Message string // for the caller
	// Resource, when not "", is what the body names as ResourceName.
	Resource string
	Err      error // the cause, for our log; may be nil
}

// New returns an Error with the status that the table gives for code.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Status: Table[code].Status, Message: fmt.Sprintf(format, args...)}
}

// Wrap is New with a cause.
func Wrap(err error, code Code, format string, args ...any) *Error {
	e := New(code, format, args...)
	e.Err = err
	return e
}

func (e *Error) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("%s: %s", e.Code, e.Message)
	}
	return fmt.Sprintf("%s: %s: %v", e.Code, e.Message, e.Err)
}

func (e *Error) Unwrap() error { return e.Err }

// MessageKey returns the key of the message in the body of a code.
func (c Code) MessageKey() string {
	if Table[c].LowerMessage {
		return "message"
	}
	return "Message"
}
