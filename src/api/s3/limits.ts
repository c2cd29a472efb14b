/** Named limits of the S3 API. https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html */

/** XML documents in request bodies. */
export const MAX_XML_BYTES = 1024 * 1024;
/** CompleteMultipartUpload alone: 10,000 parts with their checksums are more than 1 MiB. */
export const MAX_COMPLETE_XML_BYTES = 4 * 1024 * 1024;
export const MAX_KEY_BYTES = 1024;
export const MAX_PART_NUMBER = 10_000;
/** One PutObject, one part, one CopyObject source. */
export const MAX_UPLOAD_BYTES = 5 * 1024 * 1024 * 1024;
/** Every part but the last. */
export const MIN_PART_BYTES = 5 * 1024 * 1024;
export const MAX_DELETE_KEYS = 1000;
/** Keys of one DeleteObjects that are deleted at the same time. */
export const DELETE_CONCURRENCY = 32;
