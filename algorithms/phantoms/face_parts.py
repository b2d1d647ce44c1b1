"""The parts of a drawn face, each painted over the ones before."""

from collections.abc import Callable

import numpy as np

from algorithms.phantoms.face_canvas import Canvas, Point, arc, ellipse
from algorithms.phantoms.face_traits import Colour, Traits

EYE_LEFT: Point = (-0.5, 0.0)
EYE_RIGHT: Point = (0.5, 0.0)
NOSE: Point = (0.0, 0.57)
MOUTH_LEFT: Point = (-0.41, 1.15)
MOUTH_RIGHT: Point = (0.41, 1.15)

_BLACK: Colour = (20, 12, 12)
_WHITE: Colour = (236, 232, 228)


def shade(colour: Colour, factor: float) -> Colour:
    """A darker or a lighter colour."""
    red, green, blue = (min(255.0, value * factor) for value in colour)
    return red, green, blue


def blend(first: Colour, second: Colour, share: float) -> Colour:
    """A colour between two."""
    a, b, c = ((1 - share) * x + share * y for x, y in zip(first, second, strict=True))
    return a, b, c


def complexion(traits: Traits) -> Colour:
    """The skin as it is seen: paler and yellower where a person wastes away."""
    return blend(traits.skin, (214, 206, 150), 0.35 * traits.wasting)


def turned(traits: Traits, point: Point, depth: float) -> Point:
    """A point that stands out from the face, as it is seen when the head is turned."""
    return point[0] + 0.25 * traits.yaw * depth, point[1]


def outline(traits: Traits) -> list[Point]:
    """The border of the head: an ellipse above, a jaw below that sags with the years."""
    points: list[Point] = []
    for angle in np.linspace(0, 2 * np.pi, 72, endpoint=False):
        right, down = float(np.cos(angle)), float(np.sin(angle))
        width = 1.02 * traits.width
        if down > 0:
            hollow = 0.12 * traits.wasting * np.sin(np.pi * min(1.0, down / 0.75)) ** 2
            narrow = 1 - (1 - traits.jaw) * down**1.5 - hollow
            sag = 0.12 * traits.ageing * np.exp(-(((down - 0.75) / 0.18) ** 2))
            width *= narrow + sag
        points.append((width * right, 0.15 + (1.72 if down > 0 else 1.62) * down))
    return points


def back_hair(canvas: Canvas, traits: Traits, _rng: np.random.Generator) -> None:
    """What of the hair is behind the head."""
    if traits.long_hair:
        canvas.fill(ellipse((0, 0.3), 1.35 * traits.width, 1.95), shade(traits.hair, 0.8), blur=0.05)
    canvas.fill(ellipse((0, -0.25), 1.14 * traits.width, 1.42), shade(traits.hair, 0.9), blur=0.04)


def body(canvas: Canvas, traits: Traits, _rng: np.random.Generator) -> None:
    """Neck and shoulders."""
    skin = shade(complexion(traits), 0.8)
    shoulders = [(-2.6, 4.5), (-2.3, 2.75), (-0.7, 2.2), (0.7, 2.2), (2.3, 2.75), (2.6, 4.5)]
    canvas.fill(shoulders, traits.clothes, blur=0.03)
    canvas.fill([(-0.6, 1.0), (0.6, 1.0), (0.66, 2.3), (0.0, 2.7), (-0.66, 2.3)], skin, blur=0.03)


def head(canvas: Canvas, traits: Traits, _rng: np.random.Generator) -> None:
    """Ears and the skin of the face with its light and shadow."""
    skin = complexion(traits)
    for side in (-1, 1):
        canvas.fill(ellipse((1.04 * side * traits.width, 0.25), 0.13, 0.32), shade(skin, 0.85), blur=0.02)
    canvas.fill(outline(traits), skin, blur=0.02)
    for side in (-1, 1):
        lit = 1 + 0.12 * side * traits.light[0]
        canvas.fill(ellipse((0.78 * side, 0.35), 0.24, 1.0), shade(skin, 0.82 * lit), 0.6, 0.16)
        hollow = 0.15 + 0.75 * traits.wasting
        canvas.fill(ellipse((0.62 * side, 0.85), 0.17, 0.36), shade(skin, 0.6), 0.6 * hollow, 0.1)
        canvas.fill(ellipse((0.86 * side, -0.4), 0.12, 0.3), shade(skin, 0.62), 0.6 * traits.wasting, 0.1)
        canvas.fill(ellipse((0.5 * side, 0.48), 0.2, 0.14), shade(skin, 1.1 * lit), 0.5, 0.1)
    canvas.fill(ellipse((0, -0.75), 0.5, 0.3), shade(skin, 1.1), 0.5, 0.2)
    canvas.fill(ellipse((0, 1.68), 0.3, 0.1), shade(skin, 1.06), 0.5, 0.08)
    canvas.fill(ellipse((0, 1.42), 0.28, 0.06), shade(skin, 0.8), 0.6, 0.05)


def eyes(canvas: Canvas, traits: Traits, _rng: np.random.Generator) -> None:
    """Sockets, eyeballs, lids, bags and brows."""
    skin = complexion(traits)
    ring = blend(shade(skin, 0.55), (80, 60, 90), 0.3)
    for side in (-1, 1):
        x, y = turned(traits, (0.5 * side, 0), 0.12)
        canvas.fill(ellipse((x, -0.06), 0.33, 0.2), shade(skin, 0.68), 0.7, 0.07)
        canvas.fill(ellipse((x, 0.17), 0.25, 0.09), ring, 0.1 + 0.75 * traits.wasting, 0.05)
        droop = 0.05 * traits.ageing
        lids = arc((x - 0.23, 0.02), (x, -0.105 + droop), (x + 0.23, 0.01))
        canvas.fill([*lids, *arc((x + 0.23, 0.01), (x, 0.09), (x - 0.23, 0.02))], _WHITE, blur=0.01)
        gaze = x + 0.03 * traits.yaw
        canvas.fill(ellipse((gaze, y), 0.1, 0.1 - 0.4 * droop), traits.iris, blur=0.012)
        canvas.fill(ellipse((gaze, y), 0.045, 0.045), _BLACK, blur=0.008)
        canvas.fill(ellipse((gaze + 0.03, y - 0.03), 0.016, 0.016), (255, 255, 255), blur=0.006)
        canvas.stroke(lids, 0.035, shade(skin, 0.3), 0.9, 0.012)
        canvas.stroke(arc((x - 0.22, 0.03), (x, 0.095), (x + 0.22, 0.02)), 0.015, shade(skin, 0.5), 0.7, 0.01)
        inner, outer = (x - 0.3 * side, -0.28), (x + 0.32 * side, -0.25)
        canvas.stroke(arc(inner, (x, -0.35), outer), traits.brow, shade(traits.hair, 0.75), 0.85, 0.025)


def nose(canvas: Canvas, traits: Traits, _rng: np.random.Generator) -> None:
    """Bridge, wings, nostrils and tip."""
    skin = complexion(traits)
    x, y = turned(traits, NOSE, 0.5)
    for side in (-1, 1):
        lit = 0.75 + 0.12 * side * traits.light[0]
        canvas.stroke(
            arc((0.14 * side, -0.05), (x + 0.12 * side, 0.3), (x + 0.2 * side, y)),
            0.07,
            shade(skin, lit),
            0.6,
            0.04,
        )
        canvas.fill(ellipse((x + 0.18 * side, y + 0.04), 0.08, 0.08), shade(skin, 0.82), 0.7, 0.025)
        canvas.fill(ellipse((x + 0.09 * side, y + 0.11), 0.055, 0.03), shade(skin, 0.3), 0.85, 0.015)
    canvas.stroke([(0, -0.1), (x * 0.7, 0.3), (x, y - 0.06)], 0.08, shade(skin, 1.15), 0.6, 0.04)
    canvas.fill(ellipse((x, y), 0.1, 0.08), shade(skin, 1.12), 0.6, 0.04)
    canvas.stroke(
        arc((x - 0.2, y + 0.12), (x, y + 0.18), (x + 0.2, y + 0.12)), 0.05, shade(skin, 0.7), 0.5, 0.03
    )


def mouth(canvas: Canvas, traits: Traits, _rng: np.random.Generator) -> None:
    """Lips, thinner with the years and pale with the frailty."""
    skin = complexion(traits)
    lip = blend(blend(skin, (176, 60, 66), 0.55), skin, 0.6 * traits.wasting)
    x = 0.25 * traits.yaw * 0.3
    lift, thin = -0.07 * traits.smile + 0.05 * traits.ageing, 1 - 0.5 * traits.ageing
    left, right = (x + MOUTH_LEFT[0], 1.15 + lift), (x + MOUTH_RIGHT[0], 1.15 + lift)
    below = arc(right, (x, 1.16 + 0.13 * thin), left)
    canvas.fill([*arc(left, (x, 1.15 - 0.09 * thin), right), *below], lip, 0.95, 0.015)
    canvas.stroke(arc(left, (x, 1.16), right), 0.03, shade(lip, 0.35), 0.9, 0.012)
    canvas.fill(ellipse((x, 1.16 + 0.08 * thin), 0.14, 0.02), shade(lip, 1.25), 0.4, 0.02)


def wrinkles(canvas: Canvas, traits: Traits, rng: np.random.Generator) -> None:
    """Lines of the forehead, the eyes, the cheeks and the mouth; they come and deepen with the years."""
    dark, age = shade(complexion(traits), 0.52), traits.ageing
    for number in range(4):
        depth = np.clip(1.6 * age - 0.2 * number, 0, 0.85)
        y = -0.55 - 0.16 * number + rng.normal(0, 0.015)
        canvas.stroke(arc((-0.55, y), (0, y - 0.06), (0.55, y)), 0.025, dark, float(depth), 0.012)
    for side in (-1, 1):
        fold = arc((0.26 * side, 0.6), (0.46 * side, 0.85), (0.54 * side, 1.15 + 0.1 * age))
        canvas.stroke(fold, 0.04, dark, 0.12 + 0.75 * age, 0.02)
        bag = arc((0.28 * side, 0.16), (0.5 * side, 0.22 + 0.06 * age), (0.72 * side, 0.14))
        canvas.stroke(bag, 0.035, dark, 0.75 * age, 0.018)
        for ray in (-0.1, 0.0, 0.1):
            foot = [(0.77 * side, ray / 2), (0.95 * side, 1.6 * ray + rng.normal(0, 0.01))]
            canvas.stroke(foot, 0.02, dark, float(np.clip(1.3 * age - 0.15, 0, 0.8)), 0.01)
        canvas.stroke(
            arc((0.43 * side, 1.2), (0.46 * side, 1.35), (0.42 * side, 1.52)),
            0.03,
            dark,
            float(np.clip(1.3 * age - 0.4, 0, 0.8)),
            0.02,
        )
    for _ in range(int(26 * max(0.0, age - 0.3) + rng.integers(3))):
        at = (float(rng.uniform(-0.8, 0.8)), float(rng.uniform(-0.9, 1.4)))
        size = float(rng.uniform(0.012, 0.035))
        canvas.fill(ellipse(at, size, size, 10), (122, 84, 60), float(rng.uniform(0.3, 0.7)), 0.012)


def front_hair(canvas: Canvas, traits: Traits, rng: np.random.Generator) -> None:
    """The hair above the forehead; its border recedes with the years."""
    line = -0.92 - 0.38 * max(0.0, traits.ageing - 0.3) + rng.normal(0, 0.04)
    top = [(x, y - 0.06) for x, y in outline(traits) if y < line + 0.1]
    width = max(abs(x) for x, _ in top)
    border = arc((width, line + 0.3), (0.0, line), (-width, line + 0.3))
    above = [
        (1.06 * width * float(np.cos(a)), line + 0.3 - (line + 1.85) * float(np.sin(a)))
        for a in np.linspace(np.pi, 0, 20)
    ]
    canvas.fill([*above, *border], traits.hair, 0.97, 0.04)
    for _ in range(24):
        start = float(rng.uniform(-0.8, 0.8))
        strand = [(start, line + 0.1 - float(rng.uniform(0, 0.1))), (1.1 * start, line - 0.35)]
        canvas.stroke(strand, 0.02, shade(traits.hair, float(rng.uniform(0.75, 1.2))), 0.4, 0.02)


PARTS: tuple[Callable[[Canvas, Traits, np.random.Generator], None], ...] = (
    back_hair,
    body,
    head,
    wrinkles,
    eyes,
    nose,
    mouth,
    front_hair,
)
"""In the order in which they are painted."""
