// Strategy: what is special about one kind, as hooks with fixed names. A null hook means that the
// kind does what the generic registry does for every kind:
//   create  drops `status` when the kind has a status subresource, sets uid, creationTimestamp,
//           generation 1;
//   update  keeps the stored `status` when the kind has a status subresource, and raises
//           metadata.generation when anything outside metadata and status changed;
//   status  takes `status`, labels, annotations, finalizers of the new object and keeps the rest.
// Metadata (names, labels, annotations, owner references, finalizers) is validated for every kind.
//
// The files registry/<kind>.cc each define one `extern const Strategy k<Name>Strategy` (or
// several); the description says which kind has which (`strategy: name`). What is no behaviour but
// a fact (generation, names, how it is deleted ...) is not here but in the description: machinery/
// kind_facts.h. Hooks run on the caller's loop, do not wait, keep no state and may run several
// times for one request (retries). `now` is a tree of the decoded, defaulted
// object that the hook may change through typed views:
//     api::core_v1::PodEdit pod(EditTarget{&now.root, &now.arena});
//     api::core_v1::Pod before(old_root);
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/loop.h"
#include "base/status.h"
#include "machinery/schema.h"
#include "machinery/value.h"
#include "server/registry/ip_families.h"

namespace keles {
class StoreSnapshot;
}

namespace keles::registry {

// Every field error of one object: type "FieldValueInvalid" | "FieldValueRequired" |
// "FieldValueNotSupported" | "FieldValueForbidden" | "FieldValueDuplicate" | "FieldValueTooLong" |
// ..., message as upstream's field.Error.ErrorBody() ('Invalid value: "x": must be ...').
using FieldErrors = std::vector<StatusCause>;

struct HookContext {
  const KindDesc* kind = nullptr;
  std::string_view namespace_;           // "" for cluster-scoped kinds
  WallTime now;                          // the request's time
  Random* random = nullptr;              // of the loop
  const StoreSnapshot* state = nullptr;  // the cluster as the request sees it (look-ups only)
  bool dry_run = false;
  std::vector<std::string>* warnings = nullptr;      // Warning headers; may be null
  std::string_view user;                             // who asks; "" for what the server does itself
  const std::vector<std::string>* groups = nullptr;  // theirs; may be null
  std::string_view uid;
  const std::map<std::string, std::vector<std::string>>* extra = nullptr;  // theirs; may be null
  const KindDesc* served = nullptr;  // the version asked for, where it is not `kind`'s; may be null
  IpFamilies families = IpFamilies::kV4;  // of the cluster's Services
};

// One table row's cells, in the order of KindDesc::columns; a hook sets only those it computes.
// Cells are JSON scalars: text, or numbers where the column's type is integer.
class Cells {
 public:
  explicit Cells(size_t columns) : values(columns) {}
  struct Cell {
    bool set = false;
    bool is_int = false;
    int64_t number = 0;
    std::string text;
  };
  void text(size_t column, std::string s) { values[column] = {true, false, 0, std::move(s)}; }
  void number(size_t column, int64_t n) { values[column] = {true, true, n, {}}; }
  std::vector<Cell> values;
};

// How upstream's own ValidateUpdate of a kind goes over metadata once more, after what is done for
// every kind: its causes come twice.
enum class MetadataAgain : uint8_t {
  kNo,
  kChange,           // what may not change
  kChangeThenWhole,  // and what is asked of a new object
  kWholeThenChange,
  kWhole
};

struct Strategy {
  // --- warnings (registry/warnings.h) ---
  // What is accepted, and yet will not do what its author thinks: texts for Warning headers. After
  // validation, of the object itself (`before`: null on a create) and of its status.
  void (*warnings)(const HookContext&, const Value& now, const Value* before,
                   std::vector<std::string>& out) = nullptr;
  void (*status_warnings)(const HookContext&, const Value& now, const Value* before,
                          std::vector<std::string>& out) = nullptr;

  // Defaults that depend on other fields (imagePullPolicy on the tag, requests on limits, selectors
  // on template labels); runs after the description's constant defaults on every decoded body and
  // after every patch, before admission. Must be idempotent.
  void (*set_defaults)(const HookContext&, Document& now) = nullptr;

  // --- create, update ---
  void (*prepare_for_create)(const HookContext&, Document& now) = nullptr;
  // Runs after the generic part; `before` is the stored object.
  void (*prepare_for_update)(const HookContext&, Document& now, const Value& before) = nullptr;
  // Replaces the generic status rule above when set.
  void (*prepare_for_status_update)(const HookContext&, Document& now,
                                    const Value& before) = nullptr;
  // Appends every error. Metadata has been validated already (by the generic registry).
  void (*validate)(const HookContext&, const Value& now, FieldErrors& errors) = nullptr;
  // Called after validate() on an update; instead of it where validates_update_whole.
  void (*validate_update)(const HookContext&, const Value& now, const Value& before,
                          FieldErrors& errors) = nullptr;
  void (*validate_status_update)(const HookContext&, const Value& now, const Value& before,
                                 FieldErrors& errors) = nullptr;
  // How names are checked where the description says `name: strategy`. Returns messages, none =
  // valid. `prefix`: the name is a generateName prefix.
  std::vector<std::string> (*validate_name)(std::string_view name, bool prefix) = nullptr;
  // Prepares and validates the other subresources that take the parent's body
  // ("ephemeralcontainers", "resize", "approval").
  void (*prepare_for_subresource)(const HookContext&, std::string_view subresource, Document& now,
                                  const Value& before) = nullptr;
  void (*validate_subresource)(const HookContext&, std::string_view subresource, const Value& now,
                               const Value& before, FieldErrors& errors) = nullptr;

  // The first delete of an object, once it is allowed. True: `now` is to be stored as it is then,
  // and nothing else happens (it is marked, and held by a finalizer of the kind's own).
  bool (*begin_delete)(const HookContext&, Document& now) = nullptr;

  // --- rules ---
  // validate_update does what validate does, but for what was wrong in the stored object already.
  bool validates_update_whole = false;
  // What the description says (machinery/described_rules.h) is held against the object before
  // validate(), which says all of it itself where this is false.
  bool described = true;
  bool any_finalizer = false;  // finalizers need no domain
  MetadataAgain metadata_again = MetadataAgain::kNo, status_metadata_again = MetadataAgain::kNo;
  // Where the description says `deletion: graceful`: the grace period in seconds for a delete that
  // asked for `requested` (none: the object's own), 0 = at once.
  int64_t (*grace_period_seconds)(const Value& object, std::optional<int64_t> requested) = nullptr;

  // --- versions ---
  // From the tree of one version to that of another, in place; kind and apiVersion follow. Null:
  // they differ in nothing else. Of the version that is served.
  void (*convert)(const KindDesc& from, const KindDesc& to, Document& doc) = nullptr;

  // --- reading ---
  // Value of a selectable field ("spec.nodeName"); null: read by dotted path from the tree.
  std::string (*selectable_field)(const Value& object, std::string_view path) = nullptr;
  // Computes cells whose column has no path (and may override others).
  void (*cells)(const HookContext&, const Value& object, Cells& cells) = nullptr;
};

// A status update that leaves all metadata but managedFields as it is stored: a hook for
// prepare_for_status_update.
void take_only_status(const HookContext&, Document& now, const Value& before);

// The kind's strategy, or one with no hooks. Never null; lives for ever.
const Strategy& strategy_of(const KindDesc& kind);
// That of every custom resource (custom_resource.cc).
extern const Strategy kCustomResourceStrategy;

// By KindFacts::strategy; null at 0. The description's compiler lists them (strategies.cc).
std::span<const Strategy* const> described_strategies();

// How names of the kind are checked (KindFacts::name); see Strategy::validate_name.
using NameChecker = std::vector<std::string> (*)(std::string_view name, bool prefix);
NameChecker name_checker(const KindDesc& kind);

}  // namespace keles::registry
