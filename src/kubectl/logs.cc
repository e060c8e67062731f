#include <algorithm>
#include <cstdio>

#include "base/sync.h"
#include "kubectl/pods.h"
#include "kubectl/stream.h"
#include "kubectl/verbs.h"
#include "machinery/time.h"

namespace keles::kubectl {
namespace {

struct LogFlags {
  Query query;
  PodTimeout timeout{20s};
  std::string container, since_time, since;
  bool follow = false, previous = false, timestamps = false, all_containers = false;
  bool prefix = false, ignore_errors = false, all_pods = false, insecure_backend = false;
  int64_t tail = -1, limit_bytes = 0, most_requests = 5;

  void add_to(Flags& flags) {
    timeout.add_to(flags);
    flags.add("follow", &follow, "Specify if the logs should be streamed.", 'f');
    flags.add("previous", &previous,
              "If true, print the logs for the previous instance of the container in a pod if it "
              "exists.",
              'p');
    flags.add("container", &container, "Print the logs of this container", 'c');
    flags.add("all-containers", &all_containers, "Get all containers' logs in the pod(s).");
    flags.add("all-pods", &all_pods, "Get logs from all pod(s). Sets prefix to true.");
    flags.add("selector", &query.label_selector, "Selector (label query) to filter on", 'l');
    flags.add("tail", &tail,
              "Lines of recent log file to display. Defaults to -1 with no selector, showing all "
              "log lines otherwise 10, if a selector is provided.");
    flags.add("since", &since,
              "Only return logs newer than a relative duration like 5s, 2m, or "
              "3h.");
    flags.add("since-time", &since_time, "Only return logs after a specific date (RFC3339).");
    flags.add("timestamps", &timestamps, "Include timestamps on each line in the log output");
    flags.add("limit-bytes", &limit_bytes, "Maximum bytes of logs to return.");
    flags.add("prefix", &prefix,
              "Prefix each log line with the log source (pod name and container name)");
    flags.add("ignore-errors", &ignore_errors,
              "If watching / following pod logs, allow for any errors that occur to be non-fatal");
    flags.add("insecure-skip-tls-verify-backend", &insecure_backend,
              "Skip verifying the identity of the kubelet that logs are requested from. In theory, "
              "an attacker could provide invalid log content back. You might want to use this if "
              "your kubelet serving certificates have expired.");
    flags.add("max-log-requests", &most_requests,
              "Specify maximum number of concurrent logs to follow when using by a selector.");
  }

  Result<std::string> parameters() const {
    std::string q;
    if (follow) add_query(q, "follow", "true");
    if (previous) add_query(q, "previous", "true");
    if (timestamps) add_query(q, "timestamps", "true");
    if (insecure_backend) add_query(q, "insecureSkipTLSVerifyBackend", "true");
    if (tail >= 0) add_query(q, "tailLines", std::to_string(tail));
    if (limit_bytes > 0) add_query(q, "limitBytes", std::to_string(limit_bytes));
    if (!since.empty()) {
      TRY_ASSIGN(age, parse_duration(since));
      int64_t seconds = (age.count() + 999'999'999) / 1'000'000'000;
      if (seconds <= 0) return failure("--since must be greater than 0");
      add_query(q, "sinceSeconds", std::to_string(seconds));
    }
    if (!since_time.empty()) {
      TRY_ASSIGN(t, parse_time(since_time));
      (void)t;
      add_query(q, "sinceTime", since_time);
    }
    return q;
  }
};

struct Source {
  std::string path, query, prefix;
  size_t skip = 0;           // bytes that were printed before
  size_t* copied = nullptr;  // all that was read
};

// Whole lines with the prefix before each; without one the bytes as they come.
Task<Status> copy_log(Context ctx, Session* session, Source source) {
  Call c("GET", source.path);
  c.query = source.query;
  c.accept = "*/*";
  Result<std::unique_ptr<net::ResponseStream>> stream =
      co_await session->open_stream_async(ctx, std::move(c));
  if (!stream.ok()) co_return stream.status();
  bool at_start = true;
  for (;;) {
    Result<std::string> piece = co_await (*stream)->read(ctx);
    if (!piece.ok()) co_return failure(piece.status().message());
    if (piece->empty()) break;
    if (source.copied) *source.copied += piece->size();
    const size_t known = std::min(source.skip, piece->size());
    piece->erase(0, known);
    source.skip -= known;
    if (source.prefix.empty()) {
      print(*piece);
    } else {
      std::string out;
      for (char ch : *piece) {
        if (at_start) out += source.prefix;
        out += ch;
        at_start = ch == '\n';
      }
      print(out);
    }
    std::fflush(stdout);
  }
  if (!at_start && !source.prefix.empty()) print("\n");
  co_return Status();
}

Task<void> copy_into(Context ctx, Session* session, Source source, std::vector<Status>* errors) {
  Status s = co_await copy_log(ctx, session, std::move(source));
  if (!s.ok()) errors->push_back(s);
}

// All at once: what follows does not end.
Task<Status> copy_side_by_side(Context ctx, Session* session, std::vector<Source> sources,
                               std::vector<Status>* errors) {
  TaskGroup group(ctx.loop());
  for (const Source& s : sources) group.spawn(copy_into(ctx, session, s, errors));
  co_await group.join();
  co_return Status();
}

Result<std::vector<Source>> sources_of(const LogFlags& f, const std::vector<Found>& pods,
                                       bool selected) {
  TRY_ASSIGN(parameters, f.parameters());
  std::vector<Source> out;
  for (const Found& pod : pods) {
    std::vector<std::string> names;
    const Value& spec = pod.object.root["spec"];
    if (f.all_containers) {
      for (const char* list : {"initContainers", "containers", "ephemeralContainers"}) {
        for (const Value& c : spec[list].items()) names.emplace_back(c["name"].as_string());
      }
    } else {
      TRY_ASSIGN(name, choose_container(pod.object.root, f.container, selected));
      names.push_back(name);
    }
    for (const std::string& name : names) {
      Source s;
      s.path = pod.path("log");
      s.query = "container=" + escape_query(name) + (parameters.empty() ? "" : "&") + parameters;
      if (f.prefix) s.prefix = "[pod/" + pod.name + "/" + name + "] ";
      out.push_back(std::move(s));
    }
  }
  return out;
}

Result<std::vector<Found>> wanted_pods(Session& session, LogFlags& f, const Args& args) {
  if (!f.query.label_selector.empty()) {
    f.query.args = {"pods"};
    TRY_ASSIGN(found, find_objects(session, f.query));
    return std::move(found);
  }
  Query q;
  q.args = args[0].find('/') == std::string::npos ? Args{"pods", args[0]} : Args{args[0]};
  Result<std::vector<Found>> named = find_objects(session, q);
  if (named.status().is(Reason::kNotFound) && q.args.size() == 2) {
    return failure("error from server (NotFound): " + named.status().message() +
                   " in namespace \"" + session.ns() + "\"");
  }
  if (!named.ok()) return named.status();
  const std::vector<Found>& found = *named;
  TRY_ASSIGN(pods, pods_behind(session, found[0], f.timeout));
  if (f.all_pods) return std::move(pods);
  if (pods.size() > 1) {
    print_error("Found " + std::to_string(pods.size()) + " pods, using pod/" + pods[0].name + "\n");
  }
  std::vector<Found> one;
  one.push_back(std::move(pods[0]));
  return one;
}

}  // namespace

Status print_log(Session& session, const std::string& path, const std::string& query,
                 size_t* printed) {
  Source source;
  source.skip = *printed;
  *printed = 0;
  source.copied = printed;
  source.path = path;
  source.query = query;
  return session.await(copy_log(session.context(), &session, source));
}

Status logs(Invocation& in) {
  LogFlags f;
  f.add_to(in.flags);
  TRY(in.parse());
  bool selected = !f.query.label_selector.empty();
  if (in.args.empty() && !selected) {
    return in.usage(
        "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME "
        "is a required argument for the logs command");
  }
  if (!in.args.empty() && selected) {
    return in.usage("only a selector (-l) or a POD name is allowed");
  }
  if (in.args.size() > 2) {
    return in.usage(
        "expected 'logs [-f] [-p] (POD | TYPE/NAME) [-c CONTAINER]'.\nPOD or TYPE/NAME "
        "is a required argument for the logs command");
  }
  if (in.args.size() == 2) {
    if (!f.container.empty())
      return in.usage("only one of -c or an inline [CONTAINER] arg is allowed");
    f.container = in.args[1];
  }
  if (!f.since.empty() && !f.since_time.empty()) {
    return failure("at most one of `sinceTime` or `sinceSeconds` may be specified");
  }
  if (*f.timeout.wrong()) return failure(f.timeout.wrong());
  if (f.tail < -1) return failure("--tail must be greater than or equal to -1");
  if (f.all_containers && !f.container.empty()) {
    return failure("--all-containers=true should not be specified with container name " +
                   f.container);
  }
  if (selected && !in.flags.given("tail")) f.tail = 10;
  if (f.all_pods) f.prefix = true;
  TRY_ASSIGN(session, in.session());
  TRY_ASSIGN(pods, wanted_pods(*session, f, in.args));
  if (pods.empty()) {
    print_error("No resources found in " + session->ns() + " namespace.\n");
    return Status();
  }
  TRY_ASSIGN(sources, sources_of(f, pods, selected));
  if (f.follow && sources.size() > 1) {
    if (sources.size() > static_cast<size_t>(f.most_requests)) {
      return failure("you are attempting to follow " + std::to_string(sources.size()) +
                     " log streams, but maximum allowed concurrency is " +
                     std::to_string(f.most_requests) +
                     ", use --max-log-requests to increase the limit");
    }
    std::vector<Status> errors;
    (void)session->await(copy_side_by_side(session->context(), session, sources, &errors));
    return f.ignore_errors ? Status() : combine(std::move(errors));
  }
  for (const Source& s : sources) {
    Status done = session->await(copy_log(session->context(), session, s));
    if (done.ok()) continue;
    if (!f.ignore_errors) return done;
    print_error(describe_error(done));
  }
  return Status();
}

}  // namespace keles::kubectl
