// What a CustomResourceDefinition says and what has become of it, read once from its tree; and the
// changes that its status wants, with upstream's conditions, reasons and texts
// (k8s.io/apiextensions-apiserver/pkg/controller). Pure functions; any thread.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "machinery/object.h"
#include "machinery/value.h"

namespace keles::server {

inline constexpr std::string_view kCleanupFinalizer = "customresourcecleanup.apiextensions.k8s.io";

struct DefinitionNames {
  std::string plural, singular, kind, list_kind;
  std::vector<std::string> short_names, categories;
  bool operator==(const DefinitionNames&) const = default;
};

struct Definition {
  ObjectPtr object;
  std::string name, group;
  DefinitionNames wanted, accepted;
  std::vector<std::string> served;  // versions
  bool names_accepted = false;      // conditions that are true
  bool established = false;
  bool terminating = false;
  bool deletion_begun = false;  // and that its objects go has been said
  bool deleting = false;
  bool to_clean = false;  // it is being deleted, and its objects are still to go
  // Changes with all that its kinds are made of.
  std::string made_of;
};
Definition read_definition(ObjectPtr object);

// The names that a group's definitions have been given: of resources, and of kinds.
struct NamesInUse {
  std::set<std::string, std::less<>> resources, kinds;
};
void add_names(NamesInUse& used, const DefinitionNames& accepted);

// The definition with the status that follows from its names (as far as they are free) and its
// group's policy; nothing when it has that. `accepted` is what it is given then.
std::optional<Document> plan_status(const Definition& d, const NamesInUse& used, WallTime now,
                                    DefinitionNames* accepted);
// The definition with the condition NonStructuralSchema that follows from its schemas, each of
// which is gone through; nothing when it has that. Asked once of each generation.
std::optional<Document> plan_structure(const Definition& d, WallTime now);
// The definition as established: nothing when it is, or its names are not accepted.
std::optional<Document> plan_established(const Definition& d, WallTime now);
// The definition with this condition Terminating; `last`: and free of our finalizer.
Document with_terminating(const ObjectPtr& definition, bool status, std::string_view reason,
                          std::string_view message, bool last, WallTime now);

}  // namespace keles::server
