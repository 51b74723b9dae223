package otlp

import (
	"strconv"
	"strings"

	"github.com/roentgen-io/roentgen/segment"
)

// Source is what the spans of a batch share: the resource that made them and
// the instrumentation scope, with what the mapping needs of them worked out.
// It is not changed once it was made, and refers to the bytes it was made from.
type Source struct {
	Attributes   []Attribute // of the resource
	ScopeName    string
	ScopeVersion string

	service  string // service.name
	version  []byte // the service block of a segment
	language string // of the SDK
	origin   string
	account  string
	noAWS    bool   // it runs in another cloud: no aws block
	aws      []byte // members of the aws block that come from here
	block    []byte // the aws block of a span that says nothing itself
}

// Service returns the name of the service, "" when the resource says none.
func (src *Source) Service() string { return src.service }

// Source reads a source as Walk gives it. The error matches ErrMessage.
func (m *Mapping) Source(data []byte) (*Source, error) {
	src := &Source{}
	f := fields{b: data}
	for f.next() {
		switch f.num {
		case resourceSpansResource:
			g := fields{b: f.bytes()}
			for g.next() {
				if g.num != resourceAttributes {
					continue
				}
				a, ok := parseAttribute(g.bytes())
				if !ok {
					return nil, ErrMessage
				}
				src.Attributes = append(src.Attributes, a)
			}
			if g.bad {
				return nil, ErrMessage
			}
		case resourceSpansScopes:
			g := fields{b: f.bytes()}
			for g.next() {
				if g.num != scopeSpansScope {
					continue
				}
				h := fields{b: g.bytes()}
				for h.next() {
					switch h.num {
					case scopeName:
						src.ScopeName = h.text()
					case scopeVersion:
						src.ScopeVersion = h.text()
					}
				}
				g.bad = g.bad || h.bad
			}
			if g.bad {
				return nil, ErrMessage
			}
		}
	}
	if f.bad {
		return nil, ErrMessage
	}
	src.work(m.LogGroups)
	return src, nil
}

// work fills what is worked out.
func (src *Source) work(logGroups []string) {
	var r struct {
		provider, platform, zone, hostID, hostType, imageID, imageTag string
		container, containerID, pod, cluster                          string
		namespace, instance, version                                  string
		sdk, sdkVersion, auto                                         string
		launch, containerARN, clusterARN, taskARN, family             string
		logARNs, logNames                                             Value
	}
	for i := range src.Attributes {
		v := src.Attributes[i].Value
		s := v.Str()
		switch src.Attributes[i].Key {
		case "service.name":
			src.service = s
		case "service.version":
			r.version = s
		case "service.namespace":
			r.namespace = s
		case "service.instance.id":
			r.instance = s
		case "cloud.provider":
			r.provider = s
		case "cloud.platform":
			r.platform = s
		case "cloud.account.id":
			src.account = s
		case "cloud.availability_zone":
			r.zone = s
		case "host.id":
			r.hostID = s
		case "host.type":
			r.hostType = s
		case "host.image.id":
			r.imageID = s
		case "container.name":
			r.container = s
		case "container.id":
			r.containerID = s
		case "container.image.tag":
			r.imageTag = s
		case "k8s.pod.name":
			r.pod = s
		case "k8s.cluster.name":
			r.cluster = s
		case "telemetry.sdk.name":
			r.sdk = s
		case "telemetry.sdk.language":
			src.language = s
		case "telemetry.sdk.version":
			r.sdkVersion = s
		case "telemetry.auto.version", "telemetry.distro.version":
			if s != "" {
				r.auto = s
			}
		case "aws.ecs.launchtype":
			r.launch = s
		case "aws.ecs.container.arn":
			r.containerARN = s
		case "aws.ecs.cluster.arn":
			r.clusterARN = s
		case "aws.ecs.task.arn":
			r.taskARN = s
		case "aws.ecs.task.family":
			r.family = s
		case "aws.log.group.arns":
			r.logARNs = v
		case "aws.log.group.names":
			r.logNames = v
		}
	}
	if v := r.version; v != "" || r.imageTag != "" {
		if v == "" {
			v = r.imageTag
		}
		src.version = append(segment.AppendString([]byte(`{"version":`), v), '}')
	}
	if r.provider != "" && r.provider != "aws" {
		src.noAWS = true
		return
	}
	switch r.platform {
	case "aws_app_runner":
		src.origin = "AWS::AppRunner::Service"
	case "aws_eks":
		src.origin = "AWS::EKS::Container"
	case "aws_elastic_beanstalk":
		src.origin = "AWS::ElasticBeanstalk::Environment"
	case "aws_ecs":
		src.origin = or(launchOrigins[r.launch], "AWS::ECS::Container")
	case "aws_ec2":
		src.origin = "AWS::EC2::Instance"
	}

	b := object{}
	if r.platform == "aws_ec2" || r.hostID != "" {
		b.open("ec2")
		b.textOrNull("instance_id", r.hostID)
		b.textOrNull("availability_zone", r.zone)
		b.textOrNull("instance_size", r.hostType)
		b.textOrNull("ami_id", r.imageID)
		b.close()
	}
	if r.platform == "aws_ecs" {
		b.open("ecs")
		b.text("container", r.container)
		b.text("container_id", r.containerID)
		b.text("availability_zone", r.zone)
		b.text("container_arn", r.containerARN)
		b.text("cluster_arn", r.clusterARN)
		b.text("task_arn", r.taskARN)
		b.text("task_family", r.family)
		b.text("launch_type", r.launch)
		b.close()
	}
	if r.platform == "aws_elastic_beanstalk" && r.instance != "" {
		deployment, _ := strconv.ParseInt(r.instance, 10, 64)
		b.open("elastic_beanstalk")
		b.textOrNull("environment_name", r.namespace)
		b.textOrNull("version_label", r.version)
		b.int("deployment_id", deployment)
		b.close()
	}
	if r.platform == "aws_eks" || r.cluster != "" {
		b.open("eks")
		b.textOrNull("cluster_name", r.cluster)
		b.textOrNull("pod", r.pod)
		b.textOrNull("container_id", r.containerID)
		b.close()
	}
	b.logGroups(texts(r.logARNs), texts(r.logNames), logGroups)
	b.open("xray")
	sdk := r.sdk
	if sdk != "" && src.language != "" {
		sdk += " for " + src.language
	}
	b.text("sdk", sdk)
	b.text("sdk_version", r.sdkVersion)
	b.bool("auto_instrumentation", r.auto != "")
	b.close()
	src.aws = b.b
	whole := object{}
	whole.b = append(whole.b, '{')
	whole.text("account_id", src.account)
	if len(whole.b) > 1 {
		whole.b = append(whole.b, ',')
	}
	src.block = append(append(whole.b, src.aws...), '}')
}

// texts returns the texts of an array, or of a text that separates them by "&".
func texts(v Value) []string {
	var list []string
	switch v.Type {
	case ValueString:
		for s := range strings.SplitSeq(v.Str(), "&") {
			if s = strings.TrimSpace(s); s != "" {
				list = append(list, s)
			}
		}
	case ValueArray:
		v.elements(func(e Value) bool {
			if s := e.Str(); s != "" {
				list = append(list, s)
			}
			return true
		})
	}
	return list
}

// logGroups adds cloudwatch_logs from the first list that says anything.
func (o *object) logGroups(arns, names, fallback []string) {
	if len(arns) == 0 && len(names) == 0 {
		names = fallback
	}
	if len(arns) == 0 && len(names) == 0 {
		return
	}
	o.key("cloudwatch_logs")
	o.b = append(o.b, '[')
	for i, arn := range arns {
		if i > 0 {
			o.b = append(o.b, ',')
		}
		o.b = append(o.b, '{')
		// arn:aws:logs:region:account:log-group:NAME:*
		if parts := strings.SplitN(arn, ":", 8); len(parts) >= 7 {
			o.text("log_group", parts[6])
		}
		o.text("arn", arn)
		o.b = append(o.b, '}')
	}
	if len(arns) == 0 {
		for i, name := range names {
			if i > 0 {
				o.b = append(o.b, ',')
			}
			o.b = append(o.b, '{')
			o.text("log_group", name)
			o.b = append(o.b, '}')
		}
	}
	o.b = append(o.b, ']')
}
