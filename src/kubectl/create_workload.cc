// create deployment, create job.
#include <algorithm>

#include "kubectl/verbs.h"
#include "kubectl/write.h"

namespace keles::kubectl {
namespace {

// A container's name from its image: the last part of the path, without tag and digest.
std::string container_name(std::string_view image, const std::vector<std::string>& taken) {
  size_t slash = image.rfind('/');
  std::string_view last = slash == image.npos ? image : image.substr(slash + 1);
  last = last.substr(0, last.find(':'));
  last = last.substr(0, last.find('@'));
  std::string name;
  for (char c : last) {
    char l = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    bool fits = (l >= 'a' && l <= 'z') || (l >= '0' && l <= '9') || l == '-';
    name += fits ? l : '-';
  }
  std::string unique = name;
  for (int i = 2; std::find(taken.begin(), taken.end(), unique) != taken.end(); ++i) {
    unique = name + "-" + std::to_string(i);
  }
  return unique;
}

void add_containers(Document& d, Value& spec, const std::vector<std::string>& images,
                    const Args& command) {
  spec.set(d.arena, "containers", Value::list());
  std::vector<std::string> names;
  for (const std::string& image : images) {
    names.push_back(container_name(image, names));
    Value& c = spec.find("containers")->append(d.arena, Value::map());
    c.set(d.arena, "name", text(d, names.back()));
    c.set(d.arena, "image", text(d, image));
    c.set(d.arena, "resources", Value::map());
    if (command.empty()) continue;
    Value& words = c.set(d.arena, "command", Value::list());
    for (const std::string& word : command) words.append(d.arena, text(d, word));
  }
}

Args command_of(const Invocation& in) {
  return in.args.size() > 1 ? Args(in.args.begin() + 1, in.args.end()) : Args();
}

}  // namespace

Status create_deployment(Invocation& in) {
  std::vector<std::string> images;
  int64_t port = -1, replicas = 1;
  Writer writer("kubectl-create");
  in.flags.add("image", &images,
               "Image names to run. A deployment can have multiple images set for multiple "
               "containers.");
  in.flags.add("port", &port, "The containerPort that this deployment exposes.");
  in.flags.add("replicas", &replicas, "Number of replicas to create. Default is 1.", 'r');
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  if (images.empty()) return plain_failure("error: required flag(s) \"image\" not set");
  TRY_ASSIGN(name, one_name(in, 1000));
  TRY(writer.prepare());
  Args command = command_of(in);
  if (images.size() > 1 && !command.empty()) {
    return failure("cannot specify multiple --image options and command");
  }
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(resource, mapper->find("deployments.v1.apps"));
  Document d =
      new_object("apps/v1", "Deployment", name, session->namespace_given() ? session->ns() : "");
  put(d, "metadata.labels.app", name);
  put(d, "spec.replicas", replicas);
  put(d, "spec.selector.matchLabels.app", name);
  at(d, "spec.strategy") = Value::map();
  at(d, "status") = Value::map();
  put(d, "spec.template.metadata.labels.app", name);
  add_containers(d, at(d, "spec.template.spec"), images, command);
  if (port >= 0) {
    Value& first = at(d, "spec.template.spec").find("containers")->items()[0];
    Value& one = first.set(d.arena, "ports", Value::list()).append(d.arena, Value::map());
    one.set(d.arena, "containerPort", Value(port));
  }
  Result<Document> made = writer.create(*session, *resource, session->ns(), d);
  if (!made.ok()) return failure("failed to create deployment: " + made.status().message());
  return writer.report(made->root, "created");
}

Status create_job(Invocation& in) {
  std::vector<std::string> images;
  std::string from;
  Writer writer("kubectl-create");
  in.flags.add("image", &images, "Image name to run.");
  in.flags.add("from", &from,
               "The name of the resource to create a Job from (only cronjob is "
               "supported).");
  writer.add_to(in.flags);
  writer.add_save_config(in.flags);
  TRY(in.parse());
  TRY_ASSIGN(name, one_name(in, 1000));
  TRY(writer.prepare());
  Args command = command_of(in);
  if (images.empty() && from.empty()) return failure("either --image or --from must be specified");
  if (!from.empty() && !command.empty()) return failure("cannot specify --from and command");
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(resource, mapper->find("jobs.v1.batch"));
  Document d = new_object("batch/v1", "Job", name, session->namespace_given() ? session->ns() : "");
  at(d, "status") = Value::map();
  if (from.empty()) {
    add_containers(d, at(d, "spec.template.spec"), images, command);
    Value& first = at(d, "spec.template.spec").find("containers")->items()[0];
    first.set(d.arena, "name", text(d, name));
    put(d, "spec.template.spec.restartPolicy", "Never");
    at(d, "spec.template.metadata") = Value::map();
  } else {
    Query q;
    q.args = {from};
    TRY_ASSIGN(found, find_objects(*session, q));
    if (found.size() != 1 || found[0].resource->kind != "CronJob") {
      return failure("from must be an existing cronjob");
    }
    const Value& cron = found[0].object.root;
    const Value& job = cron["spec"]["jobTemplate"];
    at(d, "spec") = deep_copy(d.arena, job["spec"]);
    at(d, "metadata.labels") = deep_copy(d.arena, job["metadata"]["labels"]);
    at(d, "metadata.annotations") = deep_copy(d.arena, job["metadata"]["annotations"]);
    Value& annotations = at(d, "metadata.annotations");
    annotations.set(d.arena, "cronjob.kubernetes.io/instantiate", Value::string("manual"));
    Value& owner = at(d, "metadata.ownerReferences").append(d.arena, Value::map());
    owner.set(d.arena, "apiVersion", Value::string("batch/v1"));
    owner.set(d.arena, "kind", Value::string("CronJob"));
    owner.set(d.arena, "name", deep_copy(d.arena, cron["metadata"]["name"]));
    owner.set(d.arena, "uid", deep_copy(d.arena, cron["metadata"]["uid"]));
    owner.set(d.arena, "controller", Value(true));
  }
  Result<Document> made = writer.create(*session, *resource, session->ns(), d);
  if (!made.ok()) return failure("failed to create job: " + made.status().message());
  return writer.report(made->root, "created");
}

}  // namespace keles::kubectl
