// run: one pod from flags.
#include <unistd.h>

#include "base/text_parts.h"
#include "kubectl/pods.h"
#include "kubectl/stream.h"
#include "kubectl/terminal.h"
#include "kubectl/verbs.h"
#include "kubectl/write.h"
#include "machinery/codec_json.h"

namespace keles::kubectl {
namespace {

struct RunFlags {
  std::string image, labels, port, restart = "Always", pull_policy, overrides;
  std::vector<std::string> env, annotations;
  PodTimeout timeout;
  bool leave_open = false;
  bool command = false, in = false, tty = false, attach = false, remove = false, expose = false;
  bool privileged = false, quiet = false;

  void add_to(Flags& flags) {
    flags.add("image", &image, "The image for the container to run.");
    flags.add("labels", &labels, "Comma separated labels to apply to the pod.", 'l');
    flags.add("port", &port, "The port that this container exposes.");
    flags.add("restart", &restart,
              "The restart policy for this Pod. Legal values [Always, OnFailure, Never].");
    flags.add("image-pull-policy", &pull_policy, "The image pull policy for the container.");
    flags.add("overrides", &overrides,
              "An inline JSON override for the generated object (a merge patch).");
    flags.add_array("env", &env, "Environment variables to set in the container.");
    flags.add_array("annotations", &annotations, "Annotations to apply to the pod.");
    timeout.add_to(flags);
    flags.add("leave-stdin-open", &leave_open,
              "If the pod is started in interactive mode or with stdin, leave stdin open after the "
              "first attach completes. By default, stdin will be closed after the first attach "
              "completes.");
    flags.add("command", &command,
              "If true and extra arguments are present, use them as the 'command' field in the "
              "container, rather than the 'args' field which is the default.");
    flags.add("stdin", &in, "Keep stdin open on the container in the pod.", 'i');
    flags.add("tty", &tty, "Allocate a TTY for the container in the pod.", 't');
    flags.add("attach", &attach, "If true, wait for the Pod to start running, and then attach.");
    flags.add("rm", &remove, "If true, delete the pod after it exits. Only valid when attaching.");
    flags.add("expose", &expose,
              "If true, create a ClusterIP service associated with the pod. "
              "Requires --port.");
    flags.add("privileged", &privileged, "If true, run the container in privileged mode.");
    flags.add("quiet", &quiet, "If true, suppress prompt messages.", 'q');
  }
};

Result<Document> pod_of(const RunFlags& f, const std::string& name, const std::string& ns,
                        const Args& words) {
  Document d = new_object("v1", "Pod", name, ns);
  if (f.labels.empty()) put(d, "metadata.labels.run", name);
  for (std::string_view one : split_list(f.labels)) {
    const size_t eq = one.find('=');
    if (eq == one.npos || eq == 0) {
      return failure("unexpected label spec: " + std::string(one));
    }
    at(d, "metadata.labels")
        .set(d.arena, d.arena.copy(one.substr(0, eq)), text(d, one.substr(eq + 1)));
  }
  for (const std::string& one : f.annotations) {
    size_t eq = one.find('=');
    if (eq == one.npos || eq == 0) return failure("invalid annotations format: " + one);
    at(d, "metadata.annotations")
        .set(d.arena, d.arena.copy(std::string_view(one).substr(0, eq)),
             text(d, one.substr(eq + 1)));
  }
  put(d, "spec.restartPolicy", f.restart);
  put(d, "spec.dnsPolicy", "ClusterFirst");
  at(d, "status") = Value::map();
  Value& c = at(d, "spec.containers").append(d.arena, Value::map());
  c.set(d.arena, "name", text(d, name));
  c.set(d.arena, "image", text(d, f.image));
  c.set(d.arena, "resources", Value::map());
  if (!f.pull_policy.empty()) c.set(d.arena, "imagePullPolicy", text(d, f.pull_policy));
  if (f.in) {
    c.set(d.arena, "stdin", Value(true));
    if (!f.leave_open) c.set(d.arena, "stdinOnce", Value(true));
  }
  if (f.tty) c.set(d.arena, "tty", Value(true));
  if (f.privileged) {
    Value& security = c.set(d.arena, "securityContext", Value::map());
    security.set(d.arena, "privileged", Value(true));
  }
  if (!f.port.empty()) {
    Value& port = c.set(d.arena, "ports", Value::list()).append(d.arena, Value::map());
    port.set(d.arena, "containerPort", Value(static_cast<int64_t>(std::atoi(f.port.c_str()))));
  }
  for (const std::string& e : f.env) {
    size_t eq = e.find('=');
    if (eq == e.npos || eq == 0) return failure("invalid env: " + e);
    Value& list = c.get_or_add(d.arena, "env");
    Value& one = list.append(d.arena, Value::map());
    one.set(d.arena, "name", text(d, e.substr(0, eq)));
    one.set(d.arena, "value", text(d, e.substr(eq + 1)));
  }
  for (const std::string& w : words) {
    c.get_or_add(d.arena, f.command ? "command" : "args").append(d.arena, text(d, w));
  }
  if (f.overrides.empty()) return d;
  Result<Document> patch = parse_json(f.overrides);
  if (!patch.ok()) return failure("Invalid JSON Patch: " + patch.status().message());
  return apply_merge_patch(d.root, patch->root);
}

// Running, or ended already.
Result<Document> await_start(Session& session, const std::string& path, Duration limit) {
  TimePoint end = session.loop().now() + limit;
  for (;;) {
    TRY_ASSIGN(pod, session.call(Call("GET", path)));
    std::string_view phase = pod.root["status"]["phase"].as_string();
    if (phase == "Succeeded" || phase == "Failed") return std::move(pod);
    for (const Value& c : pod.root["status"]["containerStatuses"].items()) {
      if (c["state"]["running"].is_map() || c["state"]["terminated"].is_map())
        return std::move(pod);
    }
    if (session.loop().now() >= end) return failure("timed out waiting for the condition");
    session.sleep(100ms);
  }
}

// The pod's exit code, once it has ended. A pod that starts again after a failure ends by success
// alone.
Status ending_of(Session& session, const std::string& path, bool once, Duration limit) {
  TimePoint end = session.loop().now() + limit;
  for (;;) {
    TRY_ASSIGN(pod, session.call(Call("GET", path)));
    std::string_view phase = pod.root["status"]["phase"].as_string();
    if (phase == "Succeeded") return Status();
    if (phase == "Failed" && once) {
      const Value& meta = pod.root["metadata"];
      std::string who = "pod " + std::string(meta["namespace"].as_string()) + "/" +
                        std::string(meta["name"].as_string());
      const Value& done = pod.root["status"]["containerStatuses"].at(0)["state"]["terminated"];
      const int code = static_cast<int>(done["exitCode"].as_int());
      if (code == 0) return failure(who + " failed with unknown exit code");
      std::string why = who + " terminated (" + std::string(done["reason"].as_string()) + ")";
      std::string_view words = done["message"].as_string();
      if (!words.empty()) why.append("\n").append(words);
      return plain_failure(why, code);
    }
    if (session.loop().now() >= end) return failure("timed out waiting for the condition");
    session.sleep(100ms);
  }
}

Status attach_to(Session& session, const RunFlags& f, const Resource& pods, const std::string& ns,
                 const std::string& name) {
  std::string path = pods.path(ns, name);
  TRY_ASSIGN(pod, await_start(session, path, f.timeout.limit));
  std::string phase(pod.root["status"]["phase"].as_string());
  size_t printed = 0;
  const std::string container = "container=" + escape_query(name);
  if (phase == "Succeeded" || phase == "Failed") {
    TRY(print_log(session, path + "/log", container, &printed));
  } else {
    StreamOptions options;
    options.in = f.in;
    options.tty = f.tty && is_terminal(STDIN_FILENO);
    if (f.tty && !options.tty) {
      print_error("Unable to use a TTY - input is not a terminal or the right kind of file\n");
    }
    if (options.in && options.tty && !f.quiet) {
      print_error("If you don't see a command prompt, try pressing enter.\n");
    }
    // What it printed before somebody was attached.
    if (Status s = print_log(session, path + "/log", container, &printed); !s.ok()) {
      print_error("warning: couldn't fetch pre-attach logs: " + s.message() + "\n");
    }
    std::string query = container + "&stdout=true";
    if (options.in) query += "&stdin=true";
    query += options.tty ? "&tty=true" : "&stderr=true";
    // It may have ended meanwhile.
    if (Status s = run_streams(session, path + "/attach", query, options); !s.ok()) {
      print_error("warning: couldn't attach to pod/" + name +
                  ", falling back to streaming logs: " + s.message() + "\n");
      TRY(print_log(session, path + "/log", container + "&follow=true", &printed));
    }
  }
  if (f.restart == "Always" || f.leave_open) return Status();
  return ending_of(session, path, f.restart == "Never", f.timeout.limit);
}

}  // namespace

Status run_pod(Invocation& in) {
  RunFlags f;
  Writer writer("kubectl-run");
  f.add_to(in.flags);
  writer.add_to(in.flags);
  writer.add_save_config(in.flags, false);
  TRY(in.parse());
  if (in.args.empty()) return in.usage("NAME is required for run");
  if (f.image.empty()) return failure("required flag(s) \"image\" not set");
  if (f.restart != "Always" && f.restart != "OnFailure" && f.restart != "Never") {
    return in.usage("invalid restart policy: " + f.restart +
                    "; must be one of [Always, OnFailure, Never]");
  }
  if (f.tty && !f.in) return in.usage("--stdin is required for containers with -t/--tty=true");
  bool attach = f.attach || f.in || f.tty;
  if (f.remove && !attach) return in.usage("--rm should only be used for attached containers");
  if (f.expose && f.port.empty()) return in.usage("must set --port when exposing a service");
  if (*f.timeout.wrong()) return in.usage(f.timeout.wrong());
  TRY(writer.prepare());
  if (attach && writer.dry())
    return in.usage(
        "--dry-run=[server|client] can't be used with "
        "attached containers options (--attach, --stdin, "
        "or --tty)");
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(mapper, session->mapper());
  TRY_ASSIGN(pods, mapper->find("pods"));
  const std::string& name = in.args[0];
  Args words(in.args.begin() + 1, in.args.end());
  std::string ns = session->namespace_given() ? session->ns() : "";
  TRY_ASSIGN(pod, pod_of(f, name, ns, words));
  if (f.expose) {
    TRY_ASSIGN(services, mapper->find("services"));
    Document s = new_object("v1", "Service", name, ns);
    at(s, "spec.selector") = deep_copy(s.arena, pod.root["metadata"]["labels"]);
    Value& port = at(s, "spec.ports").append(s.arena, Value::map());
    auto number = static_cast<int64_t>(std::atoi(f.port.c_str()));
    port.set(s.arena, "port", Value(number));
    port.set(s.arena, "protocol", Value::string("TCP"));
    port.set(s.arena, "targetPort", Value(number));
    TRY_ASSIGN(service, writer.create(*session, *services, session->ns(), s));
    TRY(writer.report(service.root, "created"));
  }
  TRY_ASSIGN(made, writer.create(*session, *pods, session->ns(), pod));
  if (!attach) return writer.report(made.root, "created");
  Status done = attach_to(*session, f, *pods, session->ns(), name);
  if (f.remove) {
    Call c("DELETE", pods->path(session->ns(), name));
    Result<Document> gone = session->call(std::move(c));
    if (gone.ok() && !f.quiet) {
      print("pod \"" + name + "\" deleted from " + session->ns() + " namespace\n");
    }
    if (!gone.ok() && done.ok() && !gone.status().is(Reason::kNotFound)) return gone.status();
  }
  return done;
}

}  // namespace keles::kubectl
