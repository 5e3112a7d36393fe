// Sends a form's row to its model and shows the answer. No library, no state.
"use strict";

const toBase64 = (file) => new Promise((resolve, reject) => {
  const reader = new FileReader();
  reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
  reader.onerror = () => reject(new Error("the file cannot be read"));
  reader.readAsDataURL(file);
});

async function valueOf(field) {
  const text = field.value.trim();
  switch (field.dataset.kind) {
    case "file": return field.files.length ? { b64: await toBase64(field.files[0]) } : null;
    case "number": return text === "" ? null : Number(text);
    case "json": return text === "" ? null : JSON.parse(text);
    default: return text === "" ? null : field.value;
  }
}

async function rowOf(form) {
  const row = {};
  for (const field of form.querySelectorAll("[data-name]")) {
    try {
      row[field.dataset.name] = await valueOf(field);
    } catch (error) {
      throw new Error(`${field.dataset.name}: ${error.message}`);
    }
  }
  return row;
}

function element(tag, text, className) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  if (className) node.className = className;
  return node;
}

function bar(label, probability) {
  const line = element("div", undefined, "bar");
  const meter = element("meter");
  meter.max = 1;
  meter.value = probability;
  line.append(element("span", label), meter, element("span", `${(100 * probability).toFixed(1)} %`));
  return line;
}

function show(output, prediction) {
  const named = prediction !== null && typeof prediction === "object" && !Array.isArray(prediction);
  if (!named) {
    output.append(element("pre", JSON.stringify(prediction)));
    return;
  }
  for (const [name, answer] of Object.entries(prediction)) {
    if (answer !== null && typeof answer === "object" && "probabilities" in answer) {
      const title = element("p", `${name}: `);
      title.append(element("strong", "labels" in answer ? answer.labels.join(", ") : answer.label));
      output.append(title);
      const likeliest = Object.entries(answer.probabilities).sort((a, b) => b[1] - a[1]).slice(0, 12);
      for (const [label, probability] of likeliest) output.append(bar(label, probability));
    } else if (answer !== null && typeof answer === "object" && "text" in answer) {
      output.append(element("pre", answer.text));
    } else {
      output.append(element("p", `${name}: ${JSON.stringify(answer)}`));
    }
  }
}

async function predict(form) {
  const body = JSON.stringify({ instances: [await rowOf(form)] });
  const headers = { "content-type": "application/json" };
  const reply = await fetch(`/v1/models/${form.dataset.model}:predict`, { method: "POST", headers, body });
  const answer = await reply.json();
  if (!reply.ok) throw new Error([answer.error, answer.hint].filter(Boolean).join(". "));
  return answer.predictions[0];
}

for (const form of document.querySelectorAll("form[data-model]")) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const output = form.nextElementSibling;
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      const prediction = await predict(form);
      output.replaceChildren();
      show(output, prediction);
    } catch (error) {
      output.replaceChildren(element("p", error.message, "failed"));
    } finally {
      button.disabled = false;
    }
  });
}
