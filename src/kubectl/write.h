// What the commands that change objects share: --dry-run, --field-manager, -o, and the line that
// says what was done.
#pragma once

#include <string>
#include <string_view>

#include "kubectl/command.h"
#include "kubectl/print.h"
#include "kubectl/select.h"
#include "machinery/patch.h"

namespace keles::kubectl {

inline constexpr char kLastApplied[] = "kubectl.kubernetes.io/last-applied-configuration";

class Writer {
 public:
  explicit Writer(std::string field_manager) : field_manager_(std::move(field_manager)) {}
  void add_to(Flags& flags);
  // --save-config, of commands that make up objects: create() then says in an annotation what it
  // has made, as apply does. Not all do it when nothing is sent.
  void add_save_config(Flags& flags, bool in_dry_runs = true);
  // After Invocation::parse().
  Status prepare();

  bool client_only() const { return dry_ == Dry::kClient; }
  bool dry() const { return dry_ != Dry::kNone; }
  // "&dryRun=All&fieldManager=..." of a request.
  std::string parameters() const;
  const std::string& field_manager() const { return field_manager_; }
  void set_field_manager(std::string name) { field_manager_ = std::move(name); }
  // The query of a request like this one's under another manager's name.
  std::string parameters_as(std::string_view manager) const;

  // POST; with a client dry run the object itself.
  Result<Document> create(Session& s, const Resource& r, const std::string& ns,
                          const Document& object) const;
  Result<Document> patch(Session& s, const Resource& r, const std::string& ns,
                         const std::string& name, PatchType type, const std::string& body,
                         std::string_view subresource = {}) const;
  // "deployment.apps/web created", or what -o asks for.
  Status report(const Value& object, std::string_view operation);

 private:
  enum class Dry { kNone, kClient, kServer };
  std::string field_manager_, dry_text_ = "none", validate_ = "true";
  bool validated_ = true, save_config_ = false, saved_in_dry_runs_ = true;
  OutputFlags output_;
  Dry dry_ = Dry::kNone;
  std::optional<ObjectPrinter> printer_;
};

// --- trees under construction ---

// The member at a dotted path, maps made on the way.
Value& at(Document& d, std::string_view path);
void put(Document& d, std::string_view path, std::string_view text);
void put(Document& d, std::string_view path, int64_t number);
Value text(Document& d, std::string_view s);
// {"apiVersion":...,"kind":...,"metadata":{"name":...}}; the namespace only when it was given.
Document new_object(std::string_view api_version, std::string_view kind, std::string_view name,
                    std::string_view ns = {});
// Puts the object's own text into its last-applied annotation (--save-config, apply).
void annotate_last_applied(Document& d);
// The same of an object that a command made up: its text is the kind's, field by field.
void annotate_typed(Document& d);

// What apply sends for an object that is there: from its last applied form, the file's and the live
// one. Custom resources take JSON merge patches.
struct ClientPatch {
  PatchType type = PatchType::kStrategicMerge;
  Document body;  // empty: nothing changes
};
Result<ClientPatch> client_side_patch(const Target& wanted, const Value& live);

// --raw: the request as it is given; prints the answer. `file` is the body, or none.
Status raw_request(Session& s, std::string method, const std::string& raw, const FileFlags& file);

// The one NAME of `create KIND NAME`, and a command after "--".
Result<std::string> one_name(const Invocation& in, size_t most = 1);

}  // namespace keles::kubectl
