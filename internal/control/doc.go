// Package control keeps the control state: what people configure through the
// API, as opposed to the traces that programs send: X-Ray groups, sampling rules, tags,
// resource policies, the encryption configuration, the indexing rule, the destination of
// trace segments, the views that people save at the page, and its short links.
//
// # Durability
//
// The whole state is one small file, control.json, described byte by byte in
// docs/format/control.md. A change writes the new state beside it, syncs it,
// renames it over the old one and syncs the folder; only then is it published to
// readers and acknowledged. So after a crash there is the old state or the new
// one, and all that was acknowledged. A change that fails leaves the old state in
// force and on disk. Changes are made one after the other; readers look at an
// immutable snapshot and wait for nobody.
//
// A file that is damaged, or written by a later version, is an error at Open and
// stays untouched. So is, at the next change, a file that somebody else changed
// while it was in use.
//
// # Sections
//
// The state is a structure with one field for each kind of thing. A further kind
// is a further field of state with its edits: reading, checking, replacing and
// publishing are the same for all. Fields that a version does not know make it
// refuse the file, since to run without, say, somebody's policies would be worse.
//
// # Export and import
//
// An export is the file itself. An import takes such a file in one step: between two
// steps of the store's roller the state becomes what the file says, or stays as it
// was. Seqs and old versions of groups in the file belong to the store it came from
// and are left out; a group that is known here, by its ARN, keeps its own. What an
// import changes is told section by section, so that it can be tried first. A further
// section needs its place in take; a test fails until it has one.
//
// # Groups and the store
//
// Which group a trace belongs to is decided by the expression in force when the
// trace last changed, and the store counts by group and version. So a group is a
// list of versions, each with the range of seqs for which it holds; a change of
// the expression ends one and begins the next between two steps of the store's
// roller (see Steps). An expression may refer to other groups. What these were is
// part of the version, and a change of one group begins new versions of those
// that refer to it: a version means the same for ever, or else the store could
// not take back what it once counted.
//
// Versions are forgotten when no data of theirs can be left: Options.Keep after
// they ended. Of one group at most 100 versions are kept, of deleted groups 1,000
// in all, the latest ones.
package control
