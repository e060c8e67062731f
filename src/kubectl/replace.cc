#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {

Status replace(Invocation& in) {
  FileFlags files;
  Writer writer("kubectl-replace");
  std::string subresource;
  bool save_config = false;
  std::string raw;
  in.flags.add("raw", &raw, "Raw URI to PUT to the server.");
  files.add_to(in.flags, "to use to replace the resource.");
  writer.add_to(in.flags);
  in.flags.add("subresource", &subresource,
               "If specified, replaces the subresource of the requested object.");
  in.flags.add("save-config", &save_config,
               "If true, the configuration of current object will be saved in its annotation.");
  TRY(in.parse());
  if (!raw.empty()) {
    TRY_ASSIGN(session, in.session());
    return raw_request(*session, "PUT", raw, files);
  }
  if (files.files.empty()) return in.usage("must specify --filename to replace");
  TRY(writer.prepare());
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(targets, read_files(*session, files));
  if (targets.empty()) return failure("no objects passed to replace");
  std::vector<Status> errors;
  for (Target& t : targets) {
    bool annotated = !(*t.object).root["metadata"]["annotations"][kLastApplied].is_null();
    if (save_config || annotated) annotate_last_applied(*t.object);
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
    } else if (is_server_error(r.status())) {
      errors.push_back(r.status().with_prefix("error when replacing \"" + t.source + "\""));
    } else {
      errors.push_back(r.status());
    }
  }
  return combine(std::move(errors));
}

}  // namespace keles::kubectl
