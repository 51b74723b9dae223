package otlp

// key is an attribute that the mapping knows.
type key uint8

const (
	keyOther key = iota

	// Of the HTTP block: taken out whenever they are there.
	keyHTTPMethod
	keyHTTPRequestMethod
	keyHTTPClientIP
	keyHTTPUserAgent
	keyUserAgentOriginal
	keyHTTPStatusCode
	keyHTTPResponseStatusCode
	keyHTTPURL
	keyURLFull
	keyHTTPScheme
	keyURLScheme
	keyHTTPHost
	keyHTTPTarget
	keyHTTPServerName
	keyNetHostName
	keyNetHostPort
	keyHostName
	keyNetPeerName
	keyNetPeerPort
	keyNetPeerIP
	keyNetworkPeerAddress
	keyNetworkPeerPort
	keyClientAddress
	keyURLPath
	keyURLQuery
	keyServerAddress
	keyServerPort

	// Of the AWS block: taken out when there is one.
	keyRPCMethod
	keyAWSOperation
	keyAWSAccountID
	keyAWSRegion
	keyAWSRequestID
	keyAWSRequestID2
	keyAWSQueueURL
	keyAWSQueueURL2
	keyAWSTableName
	keyAWSTableName2

	// Of the SQL block: taken out when there is one.
	keyDBConnectionString
	keyDBSystem
	keyDBSystemName
	keyDBName
	keyDBNamespace
	keyDBStatement
	keyDBQueryText
	keyDBUser

	// Looked at, but left among the attributes, or taken out for reasons of their own.
	keyUserName
	keyHTTPStatusText
	keyEndUserID
	keyXRayAnnotations
	keyAWSSpanKind
	keyAWSLocalService
	keyAWSRemoteService
	keyAWSRemoteOperation
	keyRemoteTarget
	keyRemoteNamespace
	keyPeerService
	keyAWSService
	keyRPCService
	keyRPCSystem
	keyRPCSystemName
	keyMessagingURL
	keyDynamoDBTableNames
	keyXRayError
	keyXRayFault
	keyXRayThrottle
	keyMessageType
	keyPayloadSize
	keyBodySize
	keyCount
)

// The last keys of their blocks.
const (
	lastHTTP = keyServerPort
	lastAWS  = keyAWSTableName2
	lastSQL  = keyDBUser
)

// keyOf returns the key with that name.
func keyOf(name string) key {
	switch name {
	case "http.method":
		return keyHTTPMethod
	case "http.request.method":
		return keyHTTPRequestMethod
	case "http.client_ip":
		return keyHTTPClientIP
	case "http.user_agent":
		return keyHTTPUserAgent
	case "user_agent.original":
		return keyUserAgentOriginal
	case "http.status_code":
		return keyHTTPStatusCode
	case "http.response.status_code":
		return keyHTTPResponseStatusCode
	case "http.url":
		return keyHTTPURL
	case "url.full":
		return keyURLFull
	case "http.scheme":
		return keyHTTPScheme
	case "url.scheme":
		return keyURLScheme
	case "http.host":
		return keyHTTPHost
	case "http.target":
		return keyHTTPTarget
	case "http.server_name":
		return keyHTTPServerName
	case "net.host.name":
		return keyNetHostName
	case "net.host.port":
		return keyNetHostPort
	case "host.name":
		return keyHostName
	case "net.peer.name":
		return keyNetPeerName
	case "net.peer.port":
		return keyNetPeerPort
	case "net.peer.ip":
		return keyNetPeerIP
	case "network.peer.address":
		return keyNetworkPeerAddress
	case "network.peer.port":
		return keyNetworkPeerPort
	case "client.address":
		return keyClientAddress
	case "url.path":
		return keyURLPath
	case "url.query":
		return keyURLQuery
	case "server.address":
		return keyServerAddress
	case "server.port":
		return keyServerPort
	case "rpc.method":
		return keyRPCMethod
	case "aws.operation":
		return keyAWSOperation
	case "aws.account_id":
		return keyAWSAccountID
	case "aws.region":
		return keyAWSRegion
	case "aws.request_id":
		return keyAWSRequestID
	case "aws.requestId":
		return keyAWSRequestID2
	case "aws.queue_url":
		return keyAWSQueueURL
	case "aws.queue.url":
		return keyAWSQueueURL2
	case "aws.table_name":
		return keyAWSTableName
	case "aws.table.name":
		return keyAWSTableName2
	case "db.connection_string":
		return keyDBConnectionString
	case "db.system":
		return keyDBSystem
	case "db.system.name":
		return keyDBSystemName
	case "db.name":
		return keyDBName
	case "db.namespace":
		return keyDBNamespace
	case "db.statement":
		return keyDBStatement
	case "db.query.text":
		return keyDBQueryText
	case "db.user":
		return keyDBUser
	case "user.name":
		return keyUserName
	case "http.status_text":
		return keyHTTPStatusText
	case "enduser.id":
		return keyEndUserID
	case attributeAnnotations:
		return keyXRayAnnotations
	case "aws.span.kind":
		return keyAWSSpanKind
	case "aws.local.service":
		return keyAWSLocalService
	case "aws.remote.service":
		return keyAWSRemoteService
	case "aws.remote.operation":
		return keyAWSRemoteOperation
	case "remoteTarget":
		return keyRemoteTarget
	case "K8s.RemoteNamespace":
		return keyRemoteNamespace
	case "peer.service":
		return keyPeerService
	case "aws.service":
		return keyAWSService
	case "rpc.service":
		return keyRPCService
	case "rpc.system":
		return keyRPCSystem
	case "rpc.system.name":
		return keyRPCSystemName
	case "messaging.url":
		return keyMessagingURL
	case "aws.dynamodb.table_names":
		return keyDynamoDBTableNames
	case "aws.xray.error":
		return keyXRayError
	case "aws.xray.fault":
		return keyXRayFault
	case "aws.xray.throttle":
		return keyXRayThrottle
	case "message.type":
		return keyMessageType
	case "messaging.message_payload_size_bytes":
		return keyPayloadSize
	case "messaging.message.body.size":
		return keyBodySize
	}
	return keyOther
}

const (
	attributeAnnotations = "aws.xray.annotations"
	prefixMetadata       = "aws.xray.metadata."
	prefixResource       = "otel.resource."
)
