"""The templates that open as an app: the form, a run, and the pack's own panel in it."""
import pytest
from pages import open_page


@pytest.fixture(scope="module")
def page(browser, server):
    page = open_page(browser, server, "?template=criticise-a-picture.app&source=bottega")
    yield page
    page.close()


def test_a_picture_is_criticised_without_seeing_the_graph(page):
    page.get_by_text("What counts (empty: everything)").wait_for()
    assert page.get_by_text("bottega_picture.png").first.is_visible()
    page.get_by_role("button", name="Run", exact=True).last.click()
    panel = page.locator(".bottega-critique:visible")
    panel.get_by_text("points").first.wait_for(timeout=120_000)


def test_the_other_app_asks_for_folder_name_steps_and_prompt(page, server):
    page.goto(f"{server.address}/?template=train-a-lora.app&source=bottega")
    for label in ("Folder in ComfyUI's input", "Name of the LoRA", "Steps", "Prompt for the result"):
        page.get_by_text(label, exact=True).wait_for()
