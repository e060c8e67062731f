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

std::string stream_query(const std::string& container, const StreamOptions& o) {
  std::string q;
  add_query(q, "container", container);
  if (o.in) add_query(q, "stdin", "true");
  add_query(q, "stdout", "true");
  if (o.tty) {
    add_query(q, "tty", "true");
  } else {
    add_query(q, "stderr", "true");
  }
  return q;
}

}  // namespace

Status exec(Invocation& in) {
  StreamFlags f;
  FileFlags files;
  f.add_to(in.flags);
  TRY(in.parse());
  int dash = in.flags.arguments_before_dash();
  if (in.args.empty() || dash == 0) {
    return failure("pod, type/name or --filename must be specified");
  }
  if (dash < 0 && in.args.size() > 1) {
    return failure(
        "exec [POD] [COMMAND] is not supported anymore. Use exec [POD] -- [COMMAND] "
        "instead\nSee 'kubectl exec -h' for help and examples");
  }
  if (dash > 1) return in.usage("expected one POD before --, got " + std::to_string(dash));
  if (in.args.size() < 2) {
    return failure("you must specify at least one command for the container");
  }
  if (*f.timeout.wrong()) return in.usage(f.timeout.wrong());
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(pod, pod_for(*session, in.args[0], f.timeout));
  std::string phase(pod.object.root["status"]["phase"].as_string());
  if (phase == "Succeeded" || phase == "Failed") {
    return failure("cannot exec into a container in a completed pod; current phase is " + phase);
  }
  TRY_ASSIGN(container, choose_container(pod.object.root, f.container, f.quiet));
  StreamOptions options = f.options();
  std::string query = stream_query(container, options);
  for (size_t i = 1; i < in.args.size(); ++i) {
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
  StreamOptions options = f.options();
  if (options.in && options.tty && !f.quiet) {
    print_error("If you don't see a command prompt, try pressing enter.\n");
  }
  return run_streams(*session, pod.path("attach"), stream_query(container, options), options);
}

}  // namespace keles::kubectl
