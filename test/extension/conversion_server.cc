// A conversion webhook (apiextensions.k8s.io/v1 ConversionReview) for Timetables of
// stops.example.com: v1 has spec.when ("06:30"), v2 spec.hour and spec.minute. POST /convert.
#include <cstdio>

#include "base/flags.h"
#include "keles/runtime.h"
#include "machinery/codec_json.h"
#include "net/http.h"
#include "serving.h"

namespace keles::extension {
namespace {

// "" when it is done, else why it cannot be.
std::string convert(Document& d, std::string_view to) {
  Value* spec = d.root.find("spec");
  if (!spec || !spec->is_map()) return "a timetable has a spec";
  const bool v2 = to.ends_with("/v2");
  if (v2) {
    const std::string when((*spec)["when"].as_string());
    int hour = 0, minute = 0;
    if (std::sscanf(when.c_str(), "%d:%d", &hour, &minute) != 2) return "no time: " + when;
    spec->erase("when");
    spec->set(d.arena, "hour", Value(int64_t{hour}));
    spec->set(d.arena, "minute", Value(int64_t{minute}));
  } else {
    const auto hour = static_cast<int>((*spec)["hour"].as_int()),
               minute = static_cast<int>((*spec)["minute"].as_int());
    if (hour < 0) return "no hour: " + std::to_string(hour);
    char when[32];
    std::snprintf(when, sizeof when, "%02d:%02d", hour, minute);
    spec->erase("hour");
    spec->erase("minute");
    spec->set(d.arena, "when", Value::string(d.arena.copy(when)));
  }
  d.root.set(d.arena, "apiVersion", Value::string(d.arena.copy(to)));
  return {};
}

// The whole answer to a review.
std::string answer_to(const Value& request) {
  std::string out =
      R"({"kind":"ConversionReview","apiVersion":"apiextensions.k8s.io/v1","response":{"uid":)";
  write_json_string(out, request["uid"].as_string());
  std::string converted, failure;
  for (const Value& object : request["objects"].items()) {
    Document d;
    d.root = deep_copy(d.arena, object);
    failure = convert(d, request["desiredAPIVersion"].as_string());
    if (!failure.empty()) break;
    if (!converted.empty()) converted += ',';
    write_json(converted, d.root);
  }
  if (failure.empty()) {
    return out + R"(,"result":{"status":"Success"},"convertedObjects":[)" + converted + "]}}";
  }
  out += R"(,"result":{"status":"Failure","message":)";
  write_json_string(out, failure);
  return out + "}}}";
}

Task<void> serve(Context, net::Request* q, net::Responder* r) {
  auto review = parse_json(q->body);
  const bool good = q->path == "/convert" && review.ok();
  std::string body = good ? answer_to(review->root["request"]) : std::string("what?");
  net::Headers h{{"Content-Type", good ? "application/json" : "text/plain"}};
  auto parts = net::as_body(std::move(body));
  const int code = good ? 200 : 400;
  (void)co_await r->respond(code, std::move(h), std::move(parts));
}

int server_main(const std::vector<std::string>& args) {
  Serving s;
  Flags flags("A conversion webhook for timetables.\n\nUsage:\n  conversion_server [flags]");
  s.add_to(flags);
  return run_command(&flags, args, [&s](const std::vector<std::string>& rest) -> Status {
    TRY(no_arguments(rest));
    return run_program(
        [&s](Context ctx) { return serve_until_end(ctx, s, net::ServerOptions(), serve); });
  });
}

}  // namespace
}  // namespace keles::extension

int main(int argc, char** argv) {
  return keles::extension::server_main(std::vector<std::string>(argv + 1, argv + argc));
}
