#include "kubectl/migrate.h"
#include "kubectl/prune.h"
#include "kubectl/removal.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"
#include "machinery/labels.h"

namespace keles::kubectl {
namespace {

std::string dump(const Target& t) {
  const Resource& r = *t.resource;
  std::string gv = r.api_version();
  return "Resource: \"" + gv + ", Resource=" + r.plural + "\", GroupVersionKind: \"" + gv +
         ", Kind=" + r.kind + "\"\nName: \"" + t.name + "\", Namespace: \"" + t.ns + "\"";
}

Status from(const std::string& doing, const Target& t, const Status& s) {
  std::string prefix = "error when " + doing + " \"" + t.source + "\"";
  return is_server_error(s) ? s.with_prefix(prefix) : s;
}

class Applier {
 public:
  Applier(Session& session, Writer& writer) : session_(session), writer_(writer) {}
  bool server_side = false, force_conflicts = false;
  Removal removal;
  std::string subresource;

  Status apply(Target& t) {
    if (t.name.empty()) {
      std::string_view generate = t.object->root["metadata"]["generateName"].as_string();
      if (generate.empty()) return failure("resource name may not be empty");
      return failure("from " + std::string(generate) + ": cannot use generate name with apply");
    }
    if (t.resource->namespaced) applied.namespaces.insert(t.ns);
    return server_side ? on_server(t) : on_client(t);
  }
  Applied applied;

 private:
  Status report(const Value& object, std::string_view operation) {
    applied.uids.emplace(object["metadata"]["uid"].as_string());
    return writer_.report(object, operation);
  }

  Result<Document> send_config(const Target& t, std::string body, std::string query) {
    Call c("PATCH", t.resource->path(t.ns, t.name, subresource));
    c.query = std::move(query);
    c.content_type = patch_media_type(PatchType::kApply);
    c.body = std::move(body);
    return session_.call(std::move(c));
  }

  // The annotation of client-side apply gets an owner of its own, so that it stays when what held
  // it goes.
  Status keep_annotation(const Target& t, Document& object) {
    const Value& text = object.root["metadata"]["annotations"][kLastApplied];
    if (writer_.field_manager() != "kubectl" || text.is_null() ||
        holds_last_applied(object.root, "Apply")) {
      return {};
    }
    Document words = new_object(t.resource->api_version(), t.resource->kind, t.name, t.ns);
    Value& annotations = at(words, "metadata.annotations");
    annotations = Value::map();
    annotations.set(words.arena, kLastApplied, deep_copy(words.arena, text));
    TRY_ASSIGN(now,
               send_config(t, to_json(words.root), writer_.parameters_as("kubectl-last-applied")));
    object = std::move(now);
    return {};
  }

  // True when somebody's updates became what is applied.
  Result<bool> migrate(const Target& t, Document& object) {
    for (int attempt = 0;; ++attempt) {
      TRY_ASSIGN(patch, migration_patch(object.root, writer_.field_manager()));
      if (patch.empty()) return false;
      auto done = writer_.patch(session_, *t.resource, t.ns, t.name, PatchType::kJson, patch);
      if (done.ok()) {
        object = std::move(*done);
        return true;
      }
      if (!done.status().is(Reason::kConflict) || attempt >= 4) return done.status();
      TRY_ASSIGN(newer, session_.call(Call("GET", t.resource->path(t.ns, t.name))));
      object = std::move(newer);
    }
  }

  // Applied to what client-side apply made: the two agree from now on. What fails here is tried
  // again with the next apply.
  void leave_client_side(const Target& t, const std::string& query, Document& object) {
    auto warn = [](const char* what, const Status& s) {
      print_error(std::string("Warning: ") + what +
                  " This is non-fatal and will be retried next time you apply. Error: " +
                  s.message() + "\n");
    };
    if (Status s = keep_annotation(t, object); !s.ok()) {
      warn(
          "failed to migrate kubectl.kubernetes.io/last-applied-configuration for Server-Side "
          "Apply.",
          s);
      return;
    }
    Result<bool> migrated = migrate(t, object);
    if (!migrated.ok()) {
      warn("server rejected managed fields migration to Server-Side Apply.", migrated.status());
    } else if (*migrated) {
      auto again = send_config(t, to_json(t.object->root), query);
      if (again.ok()) {
        object = std::move(*again);
      } else {
        warn("failed to re-apply configuration after performing Server-Side Apply migration.",
             again.status());
      }
    }
  }

  Status on_server(Target& t) {
    std::string query = writer_.parameters();
    add_query(query, "force", force_conflicts ? "true" : "false");
    Result<Document> r = send_config(t, to_json(t.object->root), query);
    if (r.status().is(Reason::kConflict)) {
      return failure(
          r.status().message() +
          "\nPlease review the fields above--they currently have other managers. Here\n"
          "are the ways you can resolve this warning:\n"
          "* If you intend to manage all of these fields, please re-run the apply\n"
          "  command with the `--force-conflicts` flag.\n"
          "* If you do not intend to manage all of the fields, please edit your\n"
          "  manifest to remove references to the fields that should keep their\n"
          "  current managers.\n"
          "* You may co-own fields by updating your manifest to match the existing\n"
          "  value; in this case, you'll become the manager if the other manager(s)\n"
          "  stop managing the field (remove it from their configuration).\n"
          "See https://kubernetes.io/docs/reference/using-api/server-side-apply/#conflicts");
    }
    if (!r.ok()) return r.status();
    leave_client_side(t, query, *r);
    return report(r->root, "serverside-applied");
  }

  Status on_client(Target& t) {
    annotate_last_applied(*t.object);
    Result<Document> current = session_.call(Call("GET", t.resource->path(t.ns, t.name)));
    if (current.status().is(Reason::kNotFound)) {
      Result<Document> made = writer_.create(session_, *t.resource, t.ns, *t.object);
      if (!made.ok()) return from("creating", t, made.status());
      return report(made->root, "created");
    }
    if (!current.ok()) {
      return from("retrieving current configuration of:\n" + dump(t) + "\nfrom server for:", t,
                  current.status());
    }
    const Value& live = current->root;
    Result<Document> last = parse_json(live["metadata"]["annotations"][kLastApplied].as_string());
    if (!last.ok()) {
      print_error("Warning: resource " + t.resource->plural + "/" + t.name + " is missing the " +
                  kLastApplied +
                  " annotation which is required by kubectl apply. kubectl apply should only be "
                  "used on resources created declaratively by either kubectl create --save-config "
                  "or kubectl apply. The missing annotation will be patched automatically.\n");
    }
    TRY_ASSIGN(patch, client_side_patch(t, live));
    if (patch.body.root.empty()) return report(live, "unchanged");
    if (live["metadata"].find("deletionTimestamp")) {
      print_error("Warning: Detected changes to resource " + t.name +
                  " which is currently being deleted.\n");
    }
    return send(t, live, patch);
  }

  Status send(Target& t, const Value& live, const ClientPatch& patch) {
    if (writer_.client_only()) {
      const KindDesc* built_in = find_kind(t.resource->api_version(), t.resource->kind);
      Result<Document> local = patch.type == PatchType::kMerge
                                   ? apply_merge_patch(live, patch.body.root)
                                   : apply_strategic_patch(built_in->type, live, patch.body.root);
      if (!local.ok()) return local.status();
      return report(local->root, "configured");
    }
    std::string body = to_json(patch.body.root);
    Result<Document> changed = writer_.patch(session_, *t.resource, t.ns, t.name, patch.type, body);
    const Status& s = changed.status();
    if (removal.force && (s.is(Reason::kConflict) || s.is(Reason::kInvalid))) {
      changed = replace_by_force(t, live);
    }
    if (!changed.ok()) {
      return from("applying patch:\n" + body + "\nto:\n" + dump(t) + "\nfor:", t,
                  from("patching", t, changed.status()));
    }
    bool same =
        changed->root["metadata"]["resourceVersion"].equals(live["metadata"]["resourceVersion"]);
    return report(changed->root, same && !writer_.dry() ? "unchanged" : "configured");
  }

  // Deleted and made anew; what was there comes back when it cannot be.
  Result<Document> replace_by_force(const Target& t, const Value& live) {
    TRY_ASSIGN(uid, removal.remove(session_, *t.resource, t.ns, t.name));
    TRY(removal.await_gone(session_, *t.resource, t.ns, t.name, uid, removal.timeout));
    Result<Document> made = writer_.create(session_, *t.resource, t.ns, *t.object);
    if (made.ok()) return made;
    Document old;
    old.root = deep_copy(old.arena, live);
    if (Value* meta = old.root.find("metadata")) meta->erase("resourceVersion");
    Result<Document> again = writer_.create(session_, *t.resource, t.ns, old);
    if (again.ok()) return made.status();
    return failure(
        "An error occurred force-replacing the existing object with the newly provided one:\n\n" +
        made.status().message() +
        ".\n\nAdditionally, an error occurred attempting to restore the original object:\n\n" +
        again.status().message());
  }

  Session& session_;
  Writer& writer_;
};

}  // namespace

Result<ClientPatch> client_side_patch(const Target& wanted, const Value& live) {
  Result<Document> last = parse_json(live["metadata"]["annotations"][kLastApplied].as_string());
  Document none;
  const Value& original = last.ok() ? last->root : none.root;
  const KindDesc* built_in = find_kind(wanted.resource->api_version(), wanted.resource->kind);
  ClientPatch patch;
  if (!built_in) {
    patch.type = PatchType::kMerge;
    patch.body = create_three_way_merge_patch(original, wanted.object->root, live);
    return patch;
  }
  TRY_ASSIGN(made,
             create_three_way_strategic_patch(built_in->type, original, wanted.object->root, live));
  patch.body = std::move(made);
  return patch;
}

namespace {

struct PruneFlags {
  bool prune = false, all = false;
  std::vector<std::string> allowlist;
  std::string apply_set;

  void add_to(Flags& flags) {
    flags.add("prune", &prune,
              "Automatically delete previously applied resource objects that do not appear in the "
              "configs: with --all, with -l, or (when $KUBECTL_APPLYSET is true) with --applyset.");
    flags.add("all", &all,
              "Select all resources in the namespace of the specified resource types.");
    flags.add_array("prune-allowlist", &allowlist,
                    "Overwrite the default allowlist with <group/version/kind> for --prune");
    if (!apply_sets_enabled()) return;
    flags.add("applyset", &apply_set,
              "[alpha] The name of the ApplySet that tracks which resources are being managed: "
              "live ones that are part of it and are not in the configs any more are deleted. "
              "Format: [RESOURCE][.GROUP]/NAME; a Secret when no resource is given.");
  }

  Status check(const std::string& selector, bool server_side) const {
    if (all && !selector.empty()) {
      return failure("cannot set --all and --selector at the same time");
    }
    if (!apply_set.empty() && !prune) return failure("--applyset requires --prune");
    if (!prune) return {};
    if (!apply_set.empty()) {
      const char* other = all                  ? "--all"
                          : !selector.empty()  ? "--selector"
                          : !allowlist.empty() ? "--prune-allowlist"
                                               : nullptr;
      return other ? failure(std::string(other) + " is incompatible with --applyset") : Status();
    }
    if (!all && selector.empty()) {
      return failure(
          "all resources selected for prune without explicitly passing --all. To prune all "
          "resources, pass the --all flag. If you did not mean to prune all resources, specify a "
          "label selector");
    }
    if (server_side) {
      return failure(
          "--prune is in alpha and doesn't currently work on objects created by server-side apply");
    }
    return {};
  }
};

}  // namespace

Status apply(Invocation& in) {
  FileFlags files;
  Writer writer("kubectl-client-side-apply");
  PruneFlags prune;
  Removal removal;
  bool server_side = false, force_conflicts = false;
  std::string selector, subresource;
  files.add_to(in.flags, "that contains the configuration to apply");
  writer.add_to(in.flags);
  prune.add_to(in.flags);
  removal.add_to(in.flags);
  in.flags.add("subresource", &subresource,
               "If specified, apply will operate on the subresource of the requested object. Only "
               "allowed when using --server-side.");
  in.flags.add("server-side", &server_side,
               "If true, apply runs in the server instead of the client.");
  in.flags.add("force-conflicts", &force_conflicts,
               "If true, server-side apply will force the changes against conflicts.");
  in.flags.add("selector", &selector, "Selector (label query) to filter on", 'l');
  TRY(in.parse());
  if (!in.args.empty()) return in.usage("Unexpected args: [" + in.args[0] + "]");
  if (force_conflicts && !server_side) {
    return failure("--force-conflicts only works with --server-side");
  }
  TRY(removal.check());
  if (server_side && removal.force) return failure("--force cannot be used with --server-side");
  if (files.files.empty()) return failure("must specify one of -f and -k");
  if (server_side && !in.flags.given("field-manager")) writer.set_field_manager("kubectl");
  TRY(writer.prepare());
  if (server_side && writer.client_only()) {
    return failure(
        "--dry-run=client doesn't work with --server-side (did you mean "
        "--dry-run=server instead?)");
  }
  if (removal.force && writer.dry() && !writer.client_only()) {
    return failure("--dry-run=server cannot be used with --force");
  }
  if (removal.force && prune.prune) return failure("--force cannot be used with --prune");
  TRY(prune.check(selector, server_side));
  if (!subresource.empty() && !server_side) {
    return failure("--subresource can only be specified for --server-side");
  }
  TRY_ASSIGN(filter, Selector::parse(selector));
  TRY_ASSIGN(session, in.session());
  std::unique_ptr<ApplySet> set;
  if (!prune.apply_set.empty()) {
    TRY_ASSIGN(opened, ApplySet::open(*session, prune.apply_set));
    set = std::move(opened);
  } else if (prune.prune) {
    TRY(check_allowlist(*session, prune.allowlist));
  }
  TRY_ASSIGN(targets, read_files(*session, files));
  if (targets.empty()) return failure("no objects passed to apply");
  if (set) {
    TRY(set->label(targets));
    TRY(set->begin(writer, targets));
  }
  Applier applier(*session, writer);
  applier.server_side = server_side;
  applier.force_conflicts = force_conflicts;
  applier.removal = removal;
  applier.subresource = subresource;
  if (session->namespace_given()) applier.applied.namespaces.insert(session->ns());
  std::vector<Status> errors;
  for (Target& t : targets) {
    if (!filter.matches(t.object->root["metadata"]["labels"])) continue;
    Status s = applier.apply(t);
    if (!s.ok()) errors.push_back(s);
  }
  // What failed to be applied is not known to be unwanted.
  if (!errors.empty() || !prune.prune) return combine(std::move(errors));
  if (set) return set->prune(writer, applier.applied);
  return prune_by_labels(*session, writer, prune.allowlist, selector, applier.applied);
}

}  // namespace keles::kubectl
