// The page of the AWS console about what an entry called. It is a link and nothing else: the
// page itself asks nothing of AWS.

const text = (v: unknown): string => (typeof v === 'string' ? v : '')
const REGION = /^[a-z]{2}(-[a-z]+)+-\d$/

/** The address in the console of the table, queue, bucket, function or topic that an aws block names; null when it names none. */
export function consoleLink(aws: Record<string, unknown>): string | null {
  const queue = text(aws.queue_url)
  const topic = text(aws.topic_arn)
  const region = text(aws.region) || (/^https:\/\/sqs\.([a-z0-9-]+)\.amazonaws\.com/.exec(queue)?.[1] ?? '') || (topic.split(':')[3] ?? '')
  const base = region.startsWith('cn-') ? 'console.amazonaws.cn' : region.startsWith('us-gov-') ? 'console.amazonaws-us-gov.com' : 'console.aws.amazon.com'
  const bucket = text(aws.bucket_name)
  if (bucket) return `https://s3.${base}/s3/buckets/${encodeURIComponent(bucket)}${REGION.test(region) ? `?region=${region}` : ''}`
  if (!REGION.test(region)) return null
  const at = (service: string, rest: string) => `https://${region}.${base}/${service}/home?region=${region}#${rest}`
  const table = text(aws.table_name)
  if (table) return at('dynamodbv2', `table?name=${encodeURIComponent(table)}`)
  if (queue) return at('sqs/v3', `/queues/${encodeURIComponent(queue)}`)
  const fn = text(aws.function_name) || (/:function:([^:]+)/.exec(text(aws.function_arn))?.[1] ?? '')
  if (fn) return at('lambda', `/functions/${encodeURIComponent(fn)}`)
  if (topic) return at('sns/v3', `/topic/${encodeURIComponent(topic)}`)
  return null
}
