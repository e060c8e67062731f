// create -f, and the small ones: namespace, serviceaccount.
#include "kubectl/verbs.h"
#include "kubectl/write.h"

namespace keles::kubectl {

Status create(Invocation& in) {
  FileFlags files;
  Writer writer("kubectl-create");
  bool save_config = false;
  std::string raw;
  in.flags.add("raw", &raw, "Raw URI to POST to the server.");
  files.add_to(in.flags, "to use to create the resource");
  writer.add_to(in.flags);
  in.flags.add("save-config", &save_config,
               "If true, the configuration of current object will be saved in its annotation.");
  TRY(in.parse());
  if (!raw.empty()) {
    TRY_ASSIGN(session, in.session());
    return raw_request(*session, "POST", raw, files);
  }
  if (files.files.empty()) {
    if (!in.args.empty()) {
      return plain_failure("error: Unexpected args: [" + in.args[0] +
                           "]\nSee 'kubectl create -h' for help and examples");
    }
    return failure("must specify one of -f and -k");
  }
  if (!in.args.empty()) return in.usage("Unexpected args: [" + in.args[0] + "]");
  TRY(writer.prepare());
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(targets, read_files(*session, files));
  if (targets.empty()) return failure("no objects passed to create");
  std::vector<Status> errors;
  for (Target& t : targets) {
    if (save_config) annotate_last_applied(*t.object);
    Result<Document> made = writer.create(*session, *t.resource, t.ns, *t.object);
    if (made.ok()) {
      TRY(writer.report(made->root, "created"));
    } else if (is_server_error(made.status())) {
      errors.push_back(made.status().with_prefix("error when creating \"" + t.source + "\""));
    } else {
      errors.push_back(made.status());
    }
  }
  return combine(std::move(errors));
}

Status create_namespace(Invocation& in) {
  Writer writer("kubectl-create");
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  TRY(writer.prepare());
  TRY_ASSIGN(name, one_name(in));
  Document d = new_object("v1", "Namespace", name);
  at(d, "spec") = Value::map();
  at(d, "status") = Value::map();
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(resource, mapper->find("namespaces"));
  TRY_ASSIGN(made, writer.create(*session, *resource, "", d));
  return writer.report(made.root, "created");
}

Status create_service_account(Invocation& in) {
  Writer writer("kubectl-create");
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  TRY(writer.prepare());
  TRY_ASSIGN(name, one_name(in));
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(resource, mapper->find("serviceaccounts"));
  Document d =
      new_object("v1", "ServiceAccount", name, session->namespace_given() ? session->ns() : "");
  Result<Document> made = writer.create(*session, *resource, session->ns(), d);
  if (!made.ok()) {
    return failure("failed to create serviceaccount: " + made.status().message());
  }
  return writer.report(made->root, "created");
}

}  // namespace keles::kubectl
