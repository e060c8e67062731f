// apply --prune: what was applied before and is in the files no more is deleted. Which objects
// those are is told by an ApplySet (KEP-3659; $KUBECTL_APPLYSET=true), whose parent object says of
// which kinds and namespaces its members are, or by labels and kinds (--all, -l).
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "kubectl/select.h"
#include "kubectl/session.h"
#include "kubectl/write.h"

namespace keles::kubectl {

// Of the objects that were applied.
struct Applied {
  std::set<std::string> uids, namespaces;
};

// One of several: deletes those that match and were not applied, and says so. `selector`: of
// labels; `only_applied`: those with the annotation of client-side apply.
Status prune_kind(Session& session, Writer& writer, const Resource& resource, const std::string& ns,
                  const std::string& selector, bool only_applied, const Applied& applied);

// By kind: the allowlist ("core/v1/ConfigMap"), or the usual kinds when that is empty.
Status prune_by_labels(Session& session, Writer& writer, const std::vector<std::string>& allowlist,
                       const std::string& selector, const Applied& applied);
Status check_allowlist(Session& session, const std::vector<std::string>& allowlist);

bool apply_sets_enabled();

class ApplySet {
 public:
  // `parent`: "[RESOURCE][.GROUP]/NAME", of a Secret when it is a name alone.
  static Result<std::unique_ptr<ApplySet>> open(Session& session, const std::string& parent);

  // "applyset-HASH-v1": the label of the parent, and what its members' label says.
  const std::string& id() const { return id_; }
  // Labels the objects, reads the parent, and makes it say that they are members, before they are:
  // what is interrupted leaves nothing behind that nobody knows of.
  Status label(std::vector<Target>& objects) const;
  Status begin(Writer& writer, const std::vector<Target>& objects);
  // Deletes members that were not applied; then the parent tells of those that were.
  Status prune(Writer& writer, const Applied& applied);

 private:
  using GroupKind = std::pair<std::string, std::string>;  // kind, group: in the order of their text
  struct Members {
    std::map<std::string, const Resource*> kinds;  // by "Kind.group"
    std::set<std::string> namespaces;
  };

  ApplySet(Session& session, const Resource& type, std::string ns, std::string name);
  Status check_type();
  Status read_parent();
  Status read_kinds(const Value& annotations);
  Status write_parent(Writer& writer, const Members& members);
  std::string shown() const;  // as --applyset has it

  Session& session_;
  const Resource& type_;
  std::string ns_, name_, id_;
  Members before_, now_;
};

// base64url(sha256("NAME.NAMESPACE.KIND.GROUP")) between "applyset-" and "-v1".
std::string apply_set_id(std::string_view name, std::string_view ns, std::string_view kind,
                         std::string_view group);

}  // namespace keles::kubectl
