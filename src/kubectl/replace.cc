#include "kubectl/removal.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

constexpr Duration kForceTimeout = 5min;

Status from(const char* doing, const Target& t, const Status& s) {
  if (!is_server_error(s)) return s;
  return s.with_prefix(std::string("error when ") + doing + " \"" + t.source + "\"");
}

// --force: what is there is deleted first, and what is wanted made anew.
Status replace_by_force(Session& session, Writer& writer, Removal removal, bool name_only,
                        std::vector<Target>& targets) {
  if (removal.grace == 0) {
    // Nothing is lost by waiting for its end.
    removal.grace = 1;
    removal.wait = true;
  }
  std::vector<std::string> uids;
  std::vector<Status> errors;
  for (const Target& t : targets) {
    Result<std::string> uid = removal.remove(session, *t.resource, t.ns, t.name);
    uids.push_back(uid.ok() ? *uid : "");
    if (!uid.ok()) {
      if (!uid.status().is(Reason::kNotFound)) errors.push_back(from("deleting", t, uid.status()));
      continue;
    }
    std::string line = t.resource->type_name() + " \"" + t.name + "\" deleted";
    if (t.resource->namespaced) line += " from " + t.ns + " namespace";
    print((name_only ? t.resource->display(t.name) : line) + "\n");
  }
  if (!errors.empty()) return combine(std::move(errors));
  const Duration limit = removal.timeout.count() > 0 ? removal.timeout : kForceTimeout;
  for (size_t i = 0; i < targets.size(); ++i) {
    const Target& t = targets[i];
    TRY(removal.await_gone(session, *t.resource, t.ns, t.name, uids[i], limit));
  }
  for (const Target& t : targets) {
    Result<Document> made = writer.create(session, *t.resource, t.ns, *t.object);
    if (made.ok()) {
      TRY(writer.report(made->root, "replaced"));
    } else {
      errors.push_back(made.status());
    }
  }
  return combine(std::move(errors));
}

}  // namespace

Status replace(Invocation& in) {
  FileFlags files;
  Removal removal;
  Writer writer("kubectl-replace");
  std::string subresource;
  bool save_config = false;
  std::string raw;
  in.flags.add("raw", &raw, "Raw URI to PUT to the server.");
  files.add_to(in.flags, "to use to replace the resource.");
  writer.add_to(in.flags);
  removal.add_to(in.flags);
  in.flags.add("subresource", &subresource,
               "If specified, replaces the subresource of the requested object.");
  in.flags.add("save-config", &save_config,
               "If true, the configuration of current object will be saved in its annotation.");
  TRY(in.parse());
  TRY(removal.check());
  if (!raw.empty()) {
    TRY_ASSIGN(session, in.session());
    return raw_request(*session, "PUT", raw, files);
  }
  if (files.files.empty()) return in.usage("must specify --filename to replace");
  TRY(writer.prepare());
  if (removal.grace >= 0 && !removal.force) {
    return failure("--grace-period must have --force specified");
  }
  if (removal.timeout.count() != 0 && !removal.force) {
    return failure("--timeout must have --force specified");
  }
  if (removal.force && writer.dry()) {
    return failure("--dry-run can not be used when --force is set");
  }
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(targets, read_files(*session, files));
  if (targets.empty()) return failure("no objects passed to replace");
  for (Target& t : targets) {
    bool annotated = !(*t.object).root["metadata"]["annotations"][kLastApplied].is_null();
    if (save_config || annotated) annotate_last_applied(*t.object);
  }
  if (removal.force) {
    return replace_by_force(*session, writer, removal, in.flags.given("output"), targets);
  }
  std::vector<Status> errors;
  for (Target& t : targets) {
    if (writer.client_only()) {
      TRY(writer.report(t.object->root, "replaced"));
      continue;
    }
    Call c("PUT", t.resource->path(t.ns, t.name, subresource));
    c.query = writer.parameters();
    c.content_type = "application/json";
    c.body = to_json(t.object->root);
    Result<Document> r = session->call(std::move(c));
    if (r.ok()) {
      TRY(writer.report(r->root, "replaced"));
    } else {
      errors.push_back(from("replacing", t, r.status()));
    }
  }
  return combine(std::move(errors));
}

}  // namespace keles::kubectl
