// exec, attach.
#include <unistd.h>

#include "kubectl/pods.h"
#include "kubectl/stream.h"
#include "kubectl/terminal.h"
#include "kubectl/verbs.h"

namespace keles::kubectl {
namespace {

struct StreamFlags {
  std::string container;
  PodTimeout timeout;
  bool in = false, tty = false, quiet = false;

  void add_to(Flags& flags) {
    flags.add("container", &container,
              "Container name. If omitted, use the kubectl.kubernetes.io/default-container "
              "annotation for selecting the container to be attached or the first container in the "
              "pod will be chosen",
              'c');
    timeout.add_to(flags);
    flags.add("stdin", &in, "Pass stdin to the container", 'i');
    flags.add("tty", &tty, "Stdin is a TTY", 't');
    flags.add("quiet", &quiet, "Only print output from the remote session", 'q');
  }

  // A terminal is asked for, and there may be none.
  StreamOptions options() {
    if (tty && in && !is_terminal(STDIN_FILENO)) {
      tty = false;
      print_error("Unable to use a TTY - input is not a terminal or the right kind of file\n");
    }
    StreamOptions o;
    o.in = in;
    o.tty = tty;
    o.quiet = quiet;
    return o;
  }
};

const Value& spec_of(const Value& pod, const std::string& container) {
  for (const char* list : {"containers", "initContainers", "ephemeralContainers"}) {
    for (const Value& c : pod["spec"][list].items()) {
      if (c["name"].as_string() == container) return c;
    }
  }
  return Value::null();
}

bool is_ephemeral(const Value& pod, const std::string& container) {
  for (const Value& c : pod["spec"]["ephemeralContainers"].items()) {
    if (c["name"].as_string() == container) return true;
  }
  return false;
}

}  // namespace

Status attach_container(Session& session, const Value& pod, const std::string& path,
                        const std::string& container, StreamOptions options) {
  const bool has_terminal = spec_of(pod, container)["tty"].as_bool();
  if (options.tty && !has_terminal && !options.quiet) {
    print_error("error: Unable to use a TTY - container " + container + " did not allocate one\n");
  }
  // A container with a terminal speaks through it, asked for or not.
  const bool raw = has_terminal && options.in && is_terminal(STDIN_FILENO);
  options.tty = raw;
  if (has_terminal && options.in && !raw && !options.quiet) {
    print_error("Unable to use a TTY - input is not a terminal or the right kind of file\n");
  }
  if (!options.quiet) {
    print_error(
        "All commands and output from this session will be recorded in container logs, including "
        "credentials and sensitive information passed through the command prompt.\n"
        "If you don't see a command prompt, try pressing enter.\n");
  }
  TRY(run_streams(session, path + "/attach", stream_query(container, options), options));
  if (options.quiet || !raw) return Status();
  const Value& meta = pod["metadata"];
  std::string again = "'kubectl attach " + std::string(meta["name"].as_string()) + " -c " +
                      container + " -n " + std::string(meta["namespace"].as_string()) + " -i -t'";
  print(is_ephemeral(pod, container)
            ? "Session ended, the ephemeral container will not be restarted but may be reattached "
              "using " +
                  again + " if it is still running\n"
            : "Session ended, resume using " + again + " command\n");
  return Status();
}

Status exec(Invocation& in) {
  StreamFlags f;
  FileFlags files;
  f.add_to(in.flags);
  files.add_to(in.flags, "to use to exec into the resource");
  TRY(in.parse());
  const int dash = in.flags.arguments_before_dash();
  const bool named = !in.args.empty() && dash != 0, from_file = !files.files.empty();
  if (dash < 0 && (in.args.size() > 1 || (!in.args.empty() && from_file))) {
    return failure(
        "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] "
        "instead\nSee 'kubectl exec -h' for help and examples");
  }
  if (dash > 1) return in.usage("expected one POD before --, got " + std::to_string(dash));
  if (!named && !from_file) return failure("pod, type/name or --filename must be specified");
  const size_t first = dash < 0 ? in.args.size() : static_cast<size_t>(dash);
  if (first >= in.args.size()) {
    return failure("you must specify at least one command for the container");
  }
  if (*f.timeout.wrong()) return in.usage(f.timeout.wrong());
  TRY_ASSIGN(session, in.session());
  Query of_files;
  of_files.files = files;
  if (named) of_files.args = {"pods", in.args[0]};  // which is refused: one or the other
  auto find_pod = [&]() -> Result<Found> {
    if (!from_file) return pod_for(*session, in.args[0], f.timeout);
    TRY_ASSIGN(found, find_objects(*session, of_files));
    if (found.empty()) return failure("no objects passed to exec");
    TRY_ASSIGN(pods, pods_behind(*session, found[0], f.timeout));
    return std::move(pods[0]);
  };
  TRY_ASSIGN(pod, find_pod());
  std::string phase(pod.object.root["status"]["phase"].as_string());
  if (phase == "Succeeded" || phase == "Failed") {
    return failure("cannot exec into a container in a completed pod; current phase is " + phase);
  }
  TRY_ASSIGN(container, choose_container(pod.object.root, f.container, f.quiet));
  StreamOptions options = f.options();
  std::string query = stream_query(container, options);
  for (size_t i = first; i < in.args.size(); ++i) {
    query += "&command=" + escape_query(in.args[i]);
  }
  return run_streams(*session, pod.path("exec"), query, options);
}

Status attach(Invocation& in) {
  StreamFlags f;
  f.add_to(in.flags);
  TRY(in.parse());
  if (in.args.size() != 1) {
    return in.usage(in.args.empty() ? "at least 1 argument is required for attach"
                                    : "expected POD, TYPE/NAME, or TYPE NAME, (at most 2 "
                                      "arguments) saw " +
                                          std::to_string(in.args.size()));
  }
  if (*f.timeout.wrong()) return in.usage(f.timeout.wrong());
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(pod, pod_for(*session, in.args[0], f.timeout));
  TRY_ASSIGN(container, choose_container(pod.object.root, f.container, f.quiet));
  StreamOptions options;
  options.in = f.in;
  options.tty = f.tty;
  options.quiet = f.quiet;
  return attach_container(*session, pod.object.root, pod.path(), container, options);
}

}  // namespace keles::kubectl
