// auth can-i, auth whoami.
#include "kubectl/access_rules.h"
#include "kubectl/select.h"
#include "kubectl/tabwriter.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

Result<Document> post(Session& session, std::string_view path, const Document& body) {
  Call c("POST", std::string(path));
  c.content_type = "application/json";
  c.body = to_json(body.root);
  return session.call(std::move(c));
}

std::string bracketed(const std::vector<std::string>& all) {
  std::string out;
  for (const std::string& s : all) out += (out.empty() ? "" : " ") + s;
  return "[" + out + "]";
}

// Everything that one may do in the namespace.
Status list_access(Session& session, bool headers) {
  Document review;
  put(review, "apiVersion", "authorization.k8s.io/v1");
  put(review, "kind", "SelfSubjectRulesReview");
  put(review, "spec.namespace", session.ns());
  TRY_ASSIGN(answer,
             post(session, "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", review));
  const Value& status = answer.root["status"];
  if (status["incomplete"].as_bool()) {
    print_error("Warning: the list may be incomplete: " +
                std::string(status["evaluationError"].as_string()) + "\n");
  }
  std::string out = headers ? "Resources\tNon-Resource URLs\tResource Names\tVerbs\n" : "";
  for (const AccessRule& r : access_rules(status)) {
    out += resource_and_group(r) + "\t" + bracketed(r.urls) + "\t" + bracketed(r.names) + "\t" +
           bracketed(r.verbs) + "\n";
  }
  print(align(out, kTableColumns));
  return Status();
}

}  // namespace

Status auth_can_i(Invocation& in) {
  bool all_namespaces = false, quiet = false, list = false, no_headers = false;
  std::string subresource;
  in.flags.add("all-namespaces", &all_namespaces,
               "If true, check the specified action in all namespaces.", 'A');
  in.flags.add("quiet", &quiet, "If true, suppress output and just return the exit code.", 'q');
  in.flags.add("subresource", &subresource, "SubResource such as pod/log or deployment/scale");
  in.flags.add("list", &list, "If true, prints all allowed actions.");
  in.flags.add("no-headers", &no_headers, "If true, prints allowed actions without headers");
  TRY(in.parse());
  if (list) {
    if (!in.args.empty()) return failure("list option must be specified with no arguments");
    if (quiet || all_namespaces || !subresource.empty()) {
      return failure(
          "list option can't be specified with neither quiet, all-namespaces nor subresource "
          "options");
    }
    TRY_ASSIGN(session, in.session());
    return list_access(*session, !no_headers);
  }
  if (no_headers) return failure("--no-headers cannot be set without --list specified");
  if (in.args.size() != 2 && in.args.size() != 3) {
    return failure(
        "you must specify two arguments: verb resource or verb resource/resourceName.\n"
        "See 'kubectl auth can-i -h' for help and examples.");
  }
  TRY_ASSIGN(session, in.session());
  Document review;
  put(review, "apiVersion", "authorization.k8s.io/v1");
  put(review, "kind", "SelfSubjectAccessReview");
  const std::string& what = in.args[1];
  if (what.starts_with("/")) {
    if (!subresource.empty()) return failure("--subresource can not be used with NonResourceURL");
    if (in.args.size() == 3) {
      return failure("NonResourceURL and ResourceName can not specified together");
    }
    put(review, "spec.nonResourceAttributes.verb", in.args[0]);
    put(review, "spec.nonResourceAttributes.path", what);
  } else {
    size_t slash = what.find('/');
    std::string type = what.substr(0, slash), group;
    std::string name = slash == what.npos ? "" : what.substr(slash + 1);
    if (in.args.size() == 3) name = in.args[2];
    if (type != "*") {
      // An account may be allowed things that it cannot discover: then the word stands as it is.
      Result<const Mapper*> mapper = session->mapper();
      Result<const Resource*> r =
          mapper.ok() ? (*mapper)->find(type) : Result<const Resource*>(mapper.status());
      if (r.ok()) {
        type = (*r)->plural;
        group = (*r)->group;
        if (!(*r)->namespaced && !all_namespaces) {
          std::string of = group.empty() ? "" : " in group '" + group + "'";
          print_error("Warning: resource '" + type + "' is not namespace scoped" + of + "\n\n");
        }
      } else {
        print_error("Warning: the server doesn't have a resource type '" + type + "'\n\n");
      }
    }
    put(review, "spec.resourceAttributes.verb", in.args[0]);
    put(review, "spec.resourceAttributes.resource", type);
    if (!group.empty()) put(review, "spec.resourceAttributes.group", group);
    if (!name.empty()) put(review, "spec.resourceAttributes.name", name);
    if (!subresource.empty()) put(review, "spec.resourceAttributes.subresource", subresource);
    if (!all_namespaces) put(review, "spec.resourceAttributes.namespace", session->ns());
  }
  TRY_ASSIGN(answer,
             post(*session, "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review));
  const Value& status = answer.root["status"];
  bool allowed = status["allowed"].as_bool();
  std::string line = allowed ? "yes" : "no";
  if (!allowed) {
    for (const char* field : {"reason", "evaluationError"}) {
      std::string_view why = status[field].as_string();
      if (!why.empty()) line += " - " + std::string(why);
    }
  }
  if (!quiet) print(line + "\n");
  return allowed ? Status() : silent(1);
}

Status auth_whoami(Invocation& in) {
  OutputFlags output;
  output.add_to(in.flags);
  TRY(in.parse());
  TRY_ASSIGN(printer, ObjectPrinter::make(output, false));
  TRY_ASSIGN(session, in.session());
  Document review;
  put(review, "apiVersion", "authentication.k8s.io/v1");
  put(review, "kind", "SelfSubjectReview");
  TRY_ASSIGN(answer, post(*session, "/apis/authentication.k8s.io/v1/selfsubjectreviews", review));
  if (printer) {
    TRY_ASSIGN(text, printer->print(answer.root));
    print(text);
    return Status();
  }
  const Value& user = answer.root["status"]["userInfo"];
  std::string out = "ATTRIBUTE\tVALUE\n";
  for (const auto& [title, field] : {std::pair("Username", "username"), std::pair("UID", "uid")}) {
    std::string value(user[field].as_string());
    if (!value.empty()) out += std::string(title) + "\t" + value + "\n";
  }
  if (!user["groups"].empty()) out += "Groups\t" + go_text(user["groups"]) + "\n";
  for (const Member& m : user["extra"].members()) {
    out += "Extra: " + std::string(m.key()) + "\t" + go_text(m.value) + "\n";
  }
  print(align(out, kTableColumns));
  return Status();
}

}  // namespace keles::kubectl
