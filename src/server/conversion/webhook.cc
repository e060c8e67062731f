#include "server/conversion/webhook.h"

#include <optional>
#include <utility>

#include "base/metrics.h"
#include "server/callout/review_version.h"
#include "server/conversion/review.h"

namespace keles::conversion {
namespace {

metrics::Histogram& durations() {
  static metrics::Histogram& h =
      metrics::histogram("apiserver_crd_conversion_webhook_duration_seconds",
                         "CRD webhook conversion duration in seconds",
                         {"crd_name", "from_version", "to_version", "succeeded"},
                         {0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512,
                          1.024, 2.048, 4.096, 8.192, 16.384});
  return h;
}

// "" for a call that went well.
std::string_view failure_type(bool answered, AnswerFault fault) {
  if (!answered) return "conversion_webhook_call_failure";
  switch (fault) {
    case AnswerFault::kNone:
      return "";
    case AnswerFault::kMalformed:
      return "conversion_webhook_malformed_response_failure";
    case AnswerFault::kPartial:
      return "conversion_webhook_partial_response_failure";
    case AnswerFault::kInvalidObject:
      break;
  }
  return "conversion_webhook_invalid_converted_object_failure";
}

void tell_call(double seconds, std::string_view failure) {
  static metrics::Counter& requests = metrics::counter(
      "apiserver_conversion_webhook_request_total",
      "Counter for conversion webhook requests with success/failure and failure error type",
      {"result", "failure_type"});
  static metrics::Histogram& took =
      metrics::histogram("apiserver_conversion_webhook_duration_seconds",
                         "Conversion webhook request latency", {"result", "failure_type"},
                         {0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 30, 45, 60});
  const metrics::LabelValues labels{failure.empty() ? "success" : "failure", std::string(failure)};
  requests.with(labels).add();
  took.with(labels).observe(seconds);
}

// A definition's webhook, as it says.
struct Config {
  std::string crd, review_version;
  callout::Target target;
};

std::optional<Config> read_config(const Value& crd) {
  const Value& conversion = crd["spec"]["conversion"];
  const Value& client = conversion["webhook"]["clientConfig"];
  if (conversion["strategy"].as_string() != "Webhook" || !client.is_map()) return std::nullopt;
  Config c;
  c.crd = crd["metadata"]["name"].as_string();
  c.review_version = callout::known_version(conversion["webhook"]["conversionReviewVersions"]);
  auto target = callout::Target::read(client);
  if (!target.ok()) return std::nullopt;
  c.target = std::move(*target);
  return c;
}

class Webhook final : public Converter, public std::enable_shared_from_this<Webhook> {
 public:
  Webhook(Config config, WebhookOptions options)
      : config_(std::move(config)),
        options_(std::move(options)),
        callee_(std::make_shared<callout::Callee>(config_.target, options_.callout)) {}

  Task<Result<std::vector<Document>>> convert(Context ctx, const KindDesc* to,
                                              std::vector<DocumentPtr> objects) override {
    auto self = shared_from_this();  // a definition that is replaced meanwhile goes on to the end
    const std::string desired(to->api_version());
    std::vector<Document> out(objects.size());
    std::vector<size_t> places;
    std::vector<DocumentPtr> waiting;
    size_t bytes = 0;
    for (size_t i = 0; i < objects.size(); ++i) {
      const Value& o = objects[i]->root;
      if (o["apiVersion"].as_string() == desired) {
        out[i] = objects[i]->clone();
        continue;
      }
      if (o.size() == 2 && o.find("kind") != nullptr && o.find("apiVersion") != nullptr) {
        out[i] = objects[i]->clone();
        out[i].root.set(out[i].arena, "apiVersion", Value::string(out[i].arena.copy(desired)));
        continue;
      }
      const size_t size = objects[i]->arena.bytes_reserved();
      if (!waiting.empty() &&
          (waiting.size() >= options_.objects || bytes + size > options_.bytes)) {
        Status s = co_await convert_some(ctx, desired, &waiting, &places, &out);
        if (!s.ok()) co_return s;
        bytes = 0;
      }
      bytes += size;
      places.push_back(i);
      waiting.push_back(objects[i]);
    }
    if (!waiting.empty()) {
      Status s = co_await convert_some(ctx, desired, &waiting, &places, &out);
      if (!s.ok()) co_return s;
    }
    co_return std::move(out);
  }

 private:
  // One review. Empties `objects` and `places`.
  Task<Status> convert_some(Context ctx, std::string desired, std::vector<DocumentPtr>* objects,
                            std::vector<size_t>* places, std::vector<Document>* out) {
    Loop& loop = ctx.loop();
    const TimePoint began = loop.now();
    Review review;
    review.version = config_.review_version;
    review.uid = loop.random().uuid();
    review.desired = std::move(desired);
    review.objects = *objects;
    auto answer = co_await ask(ctx, &review);
    Result<std::vector<Document>> converted = Status(Reason::kUnknown, "no answer");
    AnswerFault fault = AnswerFault::kNone;
    if (answer.ok()) {
      converted = converted_objects(review, *answer, &fault);
    } else {
      converted = answer.status();
    }
    const std::string_view from = (*objects)[0]->root["apiVersion"].as_string();
    auto version = [](std::string_view api) { return std::string(api.substr(api.rfind('/') + 1)); };
    const std::chrono::duration<double> took = loop.now() - began;
    metrics::LabelValues labels{config_.crd, version(from), version(review.desired),
                                converted.ok() ? "true" : "false"};
    durations().with(labels).observe(took.count());
    tell_call(took.count(), failure_type(answer.ok(), fault));
    if (!converted.ok()) co_return converted.status();
    for (size_t i = 0; i < places->size(); ++i) (*out)[(*places)[i]] = std::move((*converted)[i]);
    objects->clear();
    places->clear();
    co_return Status();
  }

  // The webhook's answer; errors in upstream's words.
  Task<Result<std::string>> ask(Context ctx, const Review* review) {
    if (review->version.empty()) {
      co_return Status(Reason::kUnknown, "no supported conversion review versions");
    }
    Context call = ctx.with_timeout(options_.timeout);
    auto answer = co_await callee_->post(call, options_.timeout, request_text(*review));
    if (!answer.ok()) co_return call_failed(*review, answer.status().message());
    co_return std::move(answer);
  }

  Config config_;
  WebhookOptions options_;
  std::shared_ptr<callout::Callee> callee_;
};

}  // namespace

std::shared_ptr<Converter> make_webhook_converter(const ObjectPtr& definition,
                                                  const WebhookOptions& options) {
  auto config = read_config(definition->tree()->root);
  if (!config) return nullptr;
  return std::make_shared<Webhook>(std::move(*config), options);
}

}  // namespace keles::conversion
